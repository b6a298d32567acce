/**
 * Finds what fell through: attempts whose lease ended, prompts whose time is over, entries that Redis lost. Run by the
 * leading relay only to save work; every change it makes is guarded in the database.
 */
import { expire, settleAttempt } from '../../contracts/prompt/decide.ts';
import type { RetryBudget } from '../../contracts/prompt/retry.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { UnknownEventError } from '../../contracts/prompt/upcast.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { newId } from '../../platform/ids.ts';
import type { Append, AppendEvents } from '../../platform/postgres/append.ts';
import { decideAndAppend, type ReadPrompt } from '../../platform/postgres/decide-and-append.ts';
import type { TaskStream } from '../../platform/redis/tasks.ts';
import { type RecordObserver, tellRecorded } from '../../platform/telemetry/recorded.ts';
import { inTraceOf } from '../../platform/telemetry/spans.ts';
import type { Leadership } from './leader.ts';
import type { RelayLogger } from './relay.ts';

/** `RecordObserver`: of what it records by itself. */
export type SweeperOptions = Partial<RecordObserver> & {
  read: ReadPrompt;
  append: AppendEvents;
  tasks: TaskStream;
  budget: () => RetryBudget;
  /** Shows as the actor of what it records. */
  name: string;
  logger: RelayLogger;
  everyMs?: number;
  batch?: number;
  /** Seconds an entry may lie unclaimed before Redis is asked about it. */
  unclaimedSeconds?: number;
  /** How often consumers are looked at, and how long one must have been silent: a live one reads twice a second. */
  consumersEveryMs?: number;
  idleConsumerMs?: number;
  /** A prompt was left alone, since this build cannot read it. */
  onSkipped?: () => void;
  /** An attempt's worker was taken for dead. */
  onLostAttempt?: () => void;
  /** So many entries that Redis lost are dispatched again. */
  onLostEntries?: (count: number) => void;
  /** Something may be ready again, or has ended. */
  onChange: () => void;
};

/** After this they are looked at again: this build may never read them, but somebody may have ended them. */
const UNREADABLE_FOR_MS = 60_000;

export function createSweeper(options: SweeperOptions): (leadership: Leadership) => Promise<void> {
  const { read, logger, everyMs = 500, batch = 200, unclaimedSeconds = 2 } = options;
  const { consumersEveryMs = 60_000, idleConsumerMs = 600_000 } = options;
  let consumersAt = performance.now() - consumersEveryMs;
  let sweptAt = -Infinity;
  const unreadable = new Set<string>();
  let forgottenAt = performance.now();

  /** For decideAndAppend: what is recorded goes on in the trace of what happened last. */
  function changeOf(promptId: string) {
    let traceparent: string | null = null;
    return {
      promptId,
      tries: 2,
      read: async (id: string) => {
        const found = await read(id);
        traceparent = found?.events.at(-1)?.metadata.traceparent ?? null;
        return found;
      },
      append: (one: Append) => inTraceOf(traceparent, () => options.append(one)),
      metadata: (state: PromptState) => ({
        correlationId: state.promptId,
        causationId: newId(),
        traceparent,
        actor: `relay:${options.name}`,
      }),
    };
  }

  async function giveUpLostAttempts(lead: Leadership): Promise<number> {
    const found = await lead.ledger.deadLeases(batch + unreadable.size);
    const rows = found.filter(({ promptId }) => !unreadable.has(promptId));
    if (rows.length > 0) await failPoint('sweeper.found_lost');
    return eachApart(rows, ({ promptId, token }) => giveUp(promptId, token));
  }

  /**
   * Prompts that this build cannot read (an event of a newer release) are left to those that can, and asked for again
   * later: at the head of every batch they would keep all others from being swept.
   */
  async function eachApart<T extends { promptId: string }>(
    rows: T[],
    sweep: (row: T) => Promise<void>,
  ): Promise<number> {
    const settled = await Promise.allSettled(rows.map(sweep));
    let done = 0;
    let passing: unknown = null;
    settled.forEach((one, i) => {
      if (one.status === 'fulfilled') done += 1;
      else if (one.reason instanceof UnknownEventError) skip(rows[i]!.promptId, one.reason);
      else passing ??= one.reason;
    });
    // Those that were done are told of, the rest comes again with the next sweep.
    if (passing !== null)
      logger.warn({ err: passing, left: rows.length - done }, 'sweeper: some are left to the next sweep');
    return done;
  }

  function skip(promptId: string, error: UnknownEventError): void {
    unreadable.add(promptId);
    options.onSkipped?.();
    logger.warn({ promptId, reason: error.message }, 'sweeper: a prompt that this build cannot read is left to others');
  }

  async function giveUp(promptId: string, token: string): Promise<void> {
    const decided = await decideAndAppend({
      ...changeOf(promptId),
      terms: { guard: { token, dead: true } },
      decide: (state) => {
        const attempt = state.attempts.find((one) => one.token === token);
        if (!attempt) return { refused: 'unknown_attempt' };
        const charge = {
          usage: null,
          rawUsage: null,
          nanoUsd: null,
          boundNanoUsd: attempt.boundNanoUsd,
          priceVersion: attempt.priceVersion,
          emulated: false, // its worker did not live to say so
        };
        const message = 'its worker fell silent until the lease ended';
        return settleAttempt(
          state,
          { attempt: attempt.attempt, token, charge, end: 'lost', code: 'lease_lost', message },
          options.budget(),
        );
      },
    });
    if (decided.status === 'done') {
      options.onLostAttempt?.();
      tellRecorded(options, decided.decision.events);
    }
    // 'contended': a heartbeat or the worker's own answer came in between, which is for the better.
    logger.info({ promptId, outcome: decided.status }, 'sweeper: attempt with a dead lease');
  }

  async function expireOverdue(lead: Leadership): Promise<number> {
    const found = await lead.ledger.overdue(batch + unreadable.size);
    const rows = found.filter((promptId) => !unreadable.has(promptId)).map((promptId) => ({ promptId }));
    return eachApart(rows, async ({ promptId }) => {
      const terms = { guard: { expired: true } } as const;
      const decided = await decideAndAppend({ ...changeOf(promptId), terms, decide: expire });
      if (decided.status === 'done') tellRecorded(options, decided.decision.events);
    });
  }

  async function dispatchLostEntries(lead: Leadership): Promise<number> {
    const rows = await lead.ledger.unclaimed(unclaimedSeconds, 1_000);
    if (rows.length === 0) return 0;
    const lost = new Set(await options.tasks.findLost(rows.map((row) => row.dispatch)));
    const promptIds = rows.filter((row) => lost.has(row.dispatch)).map((row) => row.promptId);
    if (promptIds.length === 0) return 0;
    await failPoint('sweeper.found_unreadable');
    await lead.ledger.unstamp(promptIds);
    options.onLostEntries?.(promptIds.length);
    logger.warn({ count: promptIds.length }, 'sweeper: entries that Redis lost are dispatched again');
    return promptIds.length;
  }

  /** A worker that ended cleanly has done so itself; these are of those that did not. */
  async function removeIdleConsumers(): Promise<number> {
    if (performance.now() - consumersAt < consumersEveryMs) return 0;
    consumersAt = performance.now();
    const count = await options.tasks.removeIdleConsumers(idleConsumerMs);
    if (count > 0) logger.info({ count }, 'sweeper: consumers of workers that are gone are taken away');
    return 0;
  }

  /** After the rows: a lost entry is dispatched again first, then taken away. */
  async function removeUnreadableEntries(): Promise<number> {
    const count = await options.tasks.removeUnreadable(1_000);
    if (count > 0) logger.warn({ count }, 'sweeper: entries that nobody could read are taken away');
    return 0;
  }

  return async (lead) => {
    if (performance.now() - sweptAt < everyMs) return;
    sweptAt = performance.now();
    if (sweptAt - forgottenAt > UNREADABLE_FOR_MS) {
      unreadable.clear();
      forgottenAt = sweptAt;
    }
    for (const step of [
      giveUpLostAttempts,
      expireOverdue,
      dispatchLostEntries,
      removeUnreadableEntries,
      removeIdleConsumers,
    ]) {
      try {
        if ((await step(lead)) > 0) options.onChange();
      } catch (error) {
        // The next sweep comes in half a second and finds the same; the relay must not stop publishing for it.
        logger.warn({ err: error, step: step.name }, 'sweeper: a step failed');
      }
    }
  };
}

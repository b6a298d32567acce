/**
 * Finds what fell through: attempts whose lease ended, prompts whose time is over, entries that Redis lost. Run by the
 * leading relay only to save work; every change it makes is guarded in the database.
 */
import { expire, settleAttempt } from '../../contracts/prompt/decide.ts';
import type { RetryBudget } from '../../contracts/prompt/retry.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { newId } from '../../platform/ids.ts';
import type { AppendEvents } from '../../platform/postgres/append.ts';
import { decideAndAppend, type ReadPrompt } from '../../platform/postgres/decide-and-append.ts';
import type { TaskStream } from '../../platform/redis/tasks.ts';
import type { Leadership } from './leader.ts';
import type { RelayLogger } from './relay.ts';

export type SweeperOptions = {
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
  /** Something may be ready again, or has ended. */
  onChange: () => void;
};

export function createSweeper(options: SweeperOptions): (leadership: Leadership) => Promise<void> {
  const { read, logger, everyMs = 500, batch = 200, unclaimedSeconds = 2 } = options;
  let sweptAt = -Infinity;

  const metadata = (state: PromptState) => ({
    correlationId: state.promptId,
    causationId: newId(),
    traceparent: null,
    actor: `relay:${options.name}`,
  });

  async function giveUpLostAttempts(lead: Leadership): Promise<number> {
    const rows = await lead.ledger.deadLeases(batch);
    if (rows.length > 0) await failPoint('sweeper.found_lost');
    await Promise.all(rows.map((row) => giveUp(row.promptId, row.token)));
    return rows.length;
  }

  async function giveUp(promptId: string, token: string): Promise<void> {
    const decided = await decideAndAppend({
      read,
      append: options.append,
      promptId,
      metadata,
      terms: { guard: { token, dead: true } },
      tries: 2,
      decide: (state) => {
        const attempt = state.attempts.find((one) => one.token === token);
        if (!attempt) return { refused: 'unknown_attempt' };
        const charge = {
          usage: null,
          rawUsage: null,
          nanoUsd: null,
          boundNanoUsd: attempt.boundNanoUsd,
          priceVersion: attempt.priceVersion,
          emulated: false,
        };
        const message = 'its worker fell silent until the lease ended';
        return settleAttempt(
          state,
          { attempt: attempt.attempt, token, charge, end: 'lost', code: 'lease_lost', message },
          options.budget(),
        );
      },
    });
    // 'contended': a heartbeat or the worker's own answer came in between, which is for the better.
    logger.info({ promptId, outcome: decided.status }, 'sweeper: attempt with a dead lease');
  }

  async function expireOverdue(lead: Leadership): Promise<number> {
    const promptIds = await lead.ledger.overdue(batch);
    await Promise.all(
      promptIds.map((promptId) =>
        decideAndAppend({
          read,
          append: options.append,
          promptId,
          metadata,
          terms: { guard: { expired: true } },
          tries: 2,
          decide: expire,
        }),
      ),
    );
    return promptIds.length;
  }

  async function dispatchLostEntries(lead: Leadership): Promise<number> {
    const rows = await lead.ledger.unclaimed(unclaimedSeconds, 1_000);
    if (rows.length === 0) return 0;
    const lost = new Set(await options.tasks.findLost(rows.map((row) => row.dispatch)));
    const promptIds = rows.filter((row) => lost.has(row.dispatch)).map((row) => row.promptId);
    if (promptIds.length === 0) return 0;
    await failPoint('sweeper.found_unreadable');
    await lead.ledger.unstamp(promptIds);
    logger.warn({ count: promptIds.length }, 'sweeper: entries that Redis lost are dispatched again');
    return promptIds.length;
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
    for (const step of [giveUpLostAttempts, expireOverdue, dispatchLostEntries, removeUnreadableEntries]) {
      try {
        if ((await step(lead)) > 0) options.onChange();
      } catch (error) {
        // The next sweep comes in half a second and finds the same; the relay must not stop publishing for it.
        logger.warn({ err: error, step: step.name }, 'sweeper: a step failed');
      }
    }
  };
}

/**
 * Records how an attempt ended, then tells: the outcome is in Postgres before anybody hears of it, and the task entry
 * is acknowledged last. A paid answer that Postgres does not take is held in memory and in the spool, and tried again
 * for as long as the process lives; what the spool holds is settled by the next one.
 */
import { type AttemptResult, mayStillStart, type NewEvent, settleAttempt } from '../contracts/prompt/decide.ts';
import type { RetryBudget } from '../contracts/prompt/retry.ts';
import type { PromptState } from '../contracts/prompt/state.ts';
import { failPoint } from '../platform/fail-points.ts';
import type { AppendEvents } from '../platform/postgres/append.ts';
import { type Decided, decideAndAppend, type ReadPrompt } from '../platform/postgres/decide-and-append.ts';
import type { ResultEntry } from '../platform/redis/results.ts';
import type { HeldAnswer, Spool } from './spool/spool.ts';

export type SettleOptions = {
  read: ReadPrompt;
  isArchived: (promptId: string) => Promise<boolean>;
  append: AppendEvents;
  /** Resolves when what the log has is safe, as an append's own commit is. */
  confirm: () => Promise<void>;
  worker: string;
  budget: () => RetryBudget;
  /** Null: answers are held in memory alone. */
  spool: Spool | null;
  sleep: (ms: number) => Promise<void>;
  /** These are on record now, by this settling. */
  onRecorded?: (events: NewEvent[]) => void;
  logger: { warn: (o: object, m: string) => void; error: (o: object, m: string) => void };
};

export type Settled =
  /** On record; `tell` is null when it was before (another word about the same attempt). */
  | { status: 'recorded'; tell: ResultEntry | null }
  /** The spool has it, and the task is not acknowledged: the process stops and Postgres is away, or the log has lost the attempt. */
  | { status: 'spooled' };

export type Settler = {
  /** `state` is what was known when the attempt was claimed; null: read it. */
  settle: (answer: HeldAnswer, state: PromptState | null) => Promise<Settled>;
  /** Left to the next process as it is; false when there is no spool, or it did not take it. */
  putAside: (answer: HeldAnswer) => Promise<boolean>;
  /** From now on what is safe in the spool is no longer waited for. */
  stop: () => void;
};

/** A log that does not know an attempt which it took, for so long, is taken for another one. */
const GIVEN_UP_AFTER_MS = 10_000;

/** A commit takes milliseconds: what takes so much longer goes to the disk meanwhile. */
const SPOOL_AFTER_MS = 250;

export function createSettler(options: SettleOptions): Settler {
  const { logger, worker, spool } = options;
  let stopping = false;

  async function settle(answer: HeldAnswer, known: PromptState | null, safe: Safekeeping): Promise<Settled> {
    const { promptId, attempt, token } = answer;
    const isHeld = known === null;
    let state = known;
    let missedForMs = 0;
    for (let tries = 0; ; tries += 1) {
      let [isOutdated, wasMissed] = [false, false];
      try {
        const decided = await decideAndAppend({
          read: options.read,
          isArchived: options.isArchived,
          append: options.append,
          promptId,
          state,
          decide: (current) => {
            isOutdated = !mayStillStart(current, answer.attempt);
            return settleAttempt(current, answer.result, options.budget());
          },
          metadata: () => ({
            correlationId: answer.correlationId,
            causationId: token,
            traceparent: answer.traceparent,
            actor: `worker:${worker}`,
          }),
        });
        if (decided.status === 'done') {
          options.onRecorded?.(decided.decision.events);
          return { status: 'recorded', tell: toEntry(answer, decided) };
        }
        // Nothing leaves the log before the end and the cost of every attempt are on record, so this one's are.
        if (decided.status === 'archived') return await foundOnRecord();
        const isUnknown =
          decided.status === 'missing' || (decided.status === 'refused' && decided.reason !== 'recorded');
        if (decided.status === 'refused' && !isUnknown) return await foundOnRecord();
        const fields = { promptId, attempt, status: decided.status };
        // A standby without the end of the log serves in the primary's place, or an older copy of it was restored.
        if (isUnknown && !isHeld && missedForMs >= GIVEN_UP_AFTER_MS && (await safe.put())) {
          logger.error(fields, 'settle: the log has lost the attempt; its answer is left to the spool');
          return { status: 'spooled' };
        }
        wasMissed = isUnknown;
        if (!(isUnknown && isHeld)) {
          logger.error(fields, 'settle: the outcome found no place, it is tried again');
        } else if (decided.status === 'missing' || answer.result.end !== 'not_called') {
          logger.error(fields, 'settle: this log does not know the attempt; its answer stays in the spool');
          return { status: 'spooled' };
        } else if (isOutdated) {
          return { status: 'recorded', tell: null }; // the claim that nobody answered does not stand, and never will
        }
      } catch (error) {
        const fields = { promptId, attempt, err: error };
        logger.warn(fields, 'settle: Postgres did not take the outcome, it is held and tried again');
      }
      if ((await safe.put()) && stopping) return { status: 'spooled' };
      state = null; // whatever was known may be outdated: read it anew
      const pauseMs = Math.min(5_000, 50 * 2 ** Math.min(tries, 10));
      await options.sleep(pauseMs);
      missedForMs = wasMissed ? missedForMs + pauseMs : 0;
    }
  }

  /** By an earlier try whose reply was lost, perhaps before anybody but this server had it. */
  async function foundOnRecord(): Promise<Settled> {
    await options.confirm();
    return { status: 'recorded', tell: null };
  }

  const keep = async (answer: HeldAnswer): Promise<boolean> => (spool ? keepIn(spool, answer) : false);

  /** Puts an answer into the spool: when Postgres is slow, or has refused it; again when the disk did not take it. */
  function createSafekeeping(answer: HeldAnswer): Safekeeping {
    let put: Promise<boolean> | null = null;
    const putOnce = async (): Promise<boolean> => {
      put ??= keep(answer);
      const isSafe = await put;
      if (!isSafe) put = null;
      return isSafe;
    };
    const timer = setTimeout(() => void putOnce(), SPOOL_AFTER_MS);
    return {
      put: putOnce,
      release: async () => {
        clearTimeout(timer);
        return (await put) ?? false; // a file that is written still must not come after its removal
      },
    };
  }

  async function keepIn(into: Spool, answer: HeldAnswer): Promise<boolean> {
    try {
      await into.put(answer);
      await failPoint('worker.spooled');
      return true;
    } catch (error) {
      const fields = { err: error, promptId: answer.promptId, attempt: answer.attempt };
      logger.error(fields, 'settle: the spool did not take the outcome, it is held in memory alone');
      return false;
    }
  }

  async function forget({ token, promptId }: HeldAnswer): Promise<void> {
    try {
      await spool?.remove(token);
    } catch (error) {
      // Settled again after the next start, where it finds itself on record.
      logger.warn({ err: error, promptId }, 'settle: an answer on record stays in the spool');
    }
  }

  return {
    settle: async (answer, state) => {
      const safe = createSafekeeping(answer);
      let settled: Settled;
      let isOnDisk = state === null;
      try {
        settled = await settle(answer, state, safe);
      } finally {
        isOnDisk = (await safe.release()) || isOnDisk;
      }
      if (settled.status === 'recorded' && isOnDisk) await forget(answer);
      return settled;
    },
    putAside: keep,
    stop: () => {
      stopping = true;
    },
  };
}

type Safekeeping = {
  /** True when the answer is on the disk. */
  put: () => Promise<boolean>;
  /** No more is put; true when something was. */
  release: () => Promise<boolean>;
};

function toEntry(answer: HeldAnswer, decided: Extract<Decided, { status: 'done' }>): ResultEntry {
  return {
    promptId: answer.promptId,
    attempt: answer.attempt,
    type: decided.decision.events.at(-1)?.type ?? 'AttemptFailed',
    position: decided.position,
    traceparent: answer.traceparent,
  };
}

/** What there is to settle of a call that ended. */
export const toHeld = (
  claim: { state: PromptState; attempt: number; token: string; traceparent: string | null; correlationId: string },
  result: AttemptResult,
): HeldAnswer => ({
  promptId: claim.state.promptId,
  attempt: claim.attempt,
  token: claim.token,
  traceparent: claim.traceparent,
  correlationId: claim.correlationId,
  result,
});

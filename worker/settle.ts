/**
 * Records how an attempt ended, then tells: the outcome is in Postgres before anybody hears of it, and the task entry
 * is acknowledged last. A paid answer is held and tried again for as long as the process lives.
 */
import { type AttemptResult, settleAttempt } from '../contracts/prompt/decide.ts';
import type { RetryBudget } from '../contracts/prompt/retry.ts';
import type { AppendEvents } from '../platform/postgres/append.ts';
import { type Decided, decideAndAppend, type ReadPrompt } from '../platform/postgres/decide-and-append.ts';
import type { ResultEntry } from '../platform/redis/results.ts';
import type { Claim } from './claim.ts';

export type SettleOptions = {
  read: ReadPrompt;
  append: AppendEvents;
  worker: string;
  budget: () => RetryBudget;
  sleep: (ms: number) => Promise<void>;
  logger: { warn: (o: object, m: string) => void; error: (o: object, m: string) => void };
};

/** What to tell the others; null when there is nothing new (it was on record already). */
export type Settled = ResultEntry | null;

export function createSettler(options: SettleOptions): (claim: Claim, result: AttemptResult) => Promise<Settled> {
  const { logger, worker } = options;

  return async (claim, result) => {
    const { promptId } = claim.state;
    const context = { promptId, attempt: claim.attempt };
    let state: Claim['state'] | null = claim.state;
    for (let tries = 0; ; tries += 1) {
      try {
        const decided = await decideAndAppend({
          read: options.read,
          append: options.append,
          promptId,
          state,
          decide: (current) => settleAttempt(current, result, options.budget()),
          metadata: () => ({
            correlationId: claim.correlationId,
            causationId: claim.token,
            traceparent: claim.traceparent,
            actor: `worker:${worker}`,
          }),
        });
        if (decided.status === 'done') return toEntry(claim, decided);
        if (decided.status === 'refused') return null;
        logger.error({ ...context, status: decided.status }, 'settle: the outcome found no place, it is tried again');
      } catch (error) {
        logger.warn(
          { ...context, err: error },
          'settle: Postgres did not take the outcome, it is held and tried again',
        );
      }
      state = null; // whatever was known may be outdated: read it anew
      await options.sleep(Math.min(5_000, 50 * 2 ** Math.min(tries, 10)));
    }
  };
}

function toEntry(claim: Claim, decided: Extract<Decided, { status: 'done' }>): ResultEntry {
  return {
    promptId: claim.state.promptId,
    attempt: claim.attempt,
    type: decided.decision.events.at(-1)?.type ?? 'AttemptFailed',
    position: decided.position,
    traceparent: claim.traceparent,
  };
}

/**
 * One breaker per model: while a provider answers nobody, asking it for every waiting prompt only uses up their attempts.
 * It opens after a number of failures in a row and a time without any success, and parks the model for all workers; when
 * the parking is over, one window of prompts tries again. A burst of prompts that each fail at once is over sooner than
 * it opens: such prompts shall end, not wait.
 */

export type BreakerOptions = {
  /** Failures in a row, without which it stays closed. */
  failures: number;
  /** Without a success for so long. */
  silentMs: number;
  /** First parking; doubles up to the cap while nothing succeeds. */
  parkSeconds: number;
  parkCapSeconds: number;
};

export const BREAKER: BreakerOptions = { failures: 20, silentMs: 10_000, parkSeconds: 1, parkCapSeconds: 15 };

export type Breaker = {
  /** Seconds to park the model for, or null. `failed`: the provider was not able to answer, whoever asked. */
  record: (model: string, failed: boolean, nowMs: number) => number | null;
};

type Run = { failures: number; since: number; parkings: number; parkedUntil: number };

export function createBreaker(options: BreakerOptions = BREAKER): Breaker {
  const runs = new Map<string, Run>();
  return {
    record: (model, failed, nowMs) => {
      if (!failed) {
        runs.delete(model);
        return null;
      }
      const run = runs.get(model) ?? { failures: 0, since: nowMs, parkings: 0, parkedUntil: -Infinity };
      run.failures += 1;
      runs.set(model, run);
      // Calls that were under way when it opened end meanwhile: they tell nothing new.
      if (nowMs < run.parkedUntil) return null;
      if (run.failures < options.failures || nowMs - run.since < options.silentMs) return null;
      const seconds = Math.min(options.parkCapSeconds, options.parkSeconds * 2 ** run.parkings);
      run.parkings += 1;
      run.parkedUntil = nowMs + seconds * 1000;
      return seconds;
    },
  };
}

/**
 * One breaker per model: while a provider answers nobody, asking it for every waiting prompt only uses up their attempts.
 * It opens after failures of so many prompts in a row and a time without any success, and parks the model for all
 * workers; when the parking is over, one window of prompts tries again. A burst of prompts that each fail at once is
 * over sooner than it opens: such prompts shall end, not wait. A few prompts that fail again and again never open it.
 */

export type BreakerOptions = {
  /** Different prompts that failed in a row, without which it stays closed. */
  prompts: number;
  /** Without a success for so long. */
  silentMs: number;
  /** Failures so far apart are not in a row. */
  forgetMs: number;
  /** First parking; doubles up to the cap while nothing succeeds. */
  parkSeconds: number;
  parkCapSeconds: number;
};

export const BREAKER: BreakerOptions = {
  prompts: 20,
  silentMs: 10_000,
  forgetMs: 60_000,
  parkSeconds: 1,
  parkCapSeconds: 15,
};

export type Breaker = {
  /** Seconds to park the model for, or null. `failed`: the provider was not able to answer, whoever asked. */
  record: (call: { model: string; promptId: string; failed: boolean; atMs: number }) => number | null;
};

type Run = { prompts: Set<string>; since: number; lastAt: number; parkings: number; parkedUntil: number };

export function createBreaker(options: BreakerOptions = BREAKER): Breaker {
  const runs = new Map<string, Run>();
  const begin = (at: number): Run => ({
    prompts: new Set(),
    since: at,
    lastAt: at,
    parkings: 0,
    parkedUntil: -Infinity,
  });
  return {
    record: ({ model, promptId, failed, atMs }) => {
      if (!failed) {
        runs.delete(model);
        return null;
      }
      let run = runs.get(model);
      if (!run || atMs - run.lastAt > options.forgetMs) run = begin(atMs);
      runs.set(model, run);
      run.lastAt = atMs;
      if (run.prompts.size < options.prompts) run.prompts.add(promptId);
      // Calls that were under way when it opened end meanwhile: they tell nothing new.
      if (atMs < run.parkedUntil) return null;
      if (run.prompts.size < options.prompts || atMs - run.since < options.silentMs) return null;
      const seconds = Math.min(options.parkCapSeconds, options.parkSeconds * 2 ** run.parkings);
      run.parkings += 1;
      run.parkedUntil = atMs + seconds * 1000;
      return seconds;
    },
  };
}

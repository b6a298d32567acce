/** Tells of what happens again and again: the first time at once, then once a minute, with how often. */
export type Reporter = { warn: (fields: object, message: string) => void };

const EVERY_MS = 60_000;

export function createReporter(logger: Reporter, now: () => number = () => performance.now()): Reporter {
  const told = new Map<string, { at: number; since: number }>();
  return {
    warn: (fields, message) => {
      const before = told.get(message);
      if (before && now() - before.at < EVERY_MS) {
        before.since += 1;
        return;
      }
      logger.warn({ ...fields, times: 1 + (before?.since ?? 0) }, message);
      told.set(message, { at: now(), since: 0 });
    },
  };
}

/** Aggregates from Redis while nothing has been folded since: a dashboard left open costs nothing. */
import { createHash } from 'node:crypto';
import type { Cache } from './cache.ts';
import type { LiveModel } from './live-model.ts';
import type { StatsAnswer } from './stats.ts';

/**
 * `question`: all that the answer depends on, the caller's scope included. An entry counts only at the very cursor
 * that this process knows: an answer some seconds old would not show the caller's own last prompt.
 */
export async function cachedStats<T>(
  deps: { cache: Cache; live: LiveModel },
  question: unknown,
  ask: () => Promise<StatsAnswer<T>>,
): Promise<StatsAnswer<T>> {
  const { cache, live } = deps;
  const { version, position, asOf, aside } = live.current();
  const hash = createHash('sha256')
    .update(JSON.stringify([question, aside]))
    .digest('base64url');
  const key = `cache:stats:v${version}:${hash}`;
  const cached = await cache.get<StatsAnswer<T>>(key);
  if (cached && cached.position === position && cached.asOf === asOf) return cached;
  const answer = await ask();
  cache.set(key, answer);
  return answer;
}

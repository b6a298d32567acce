/** Aggregates from Redis while nothing has been folded since: a dashboard left open costs nothing. */
import { createHash } from 'node:crypto';
import type { Point } from './as-of.ts';
import type { Cache } from './cache.ts';
import type { LiveModel } from './live-model.ts';
import type { StatsAnswer } from './stats-reader.ts';

/** Counts up whenever an answer gains a field or is made otherwise: a former release leaves entries without that. */
const VIEW = 4;

/**
 * `question`: all that the answer depends on, the caller's scope included. An entry counts only at the very cursor
 * that this process knows: an answer some seconds old would not show the caller's own last prompt. A look back to a
 * `point` is the same whenever it is asked.
 */
export async function cachedStats<T extends StatsAnswer<unknown>>(
  deps: { cache: Cache; live: LiveModel },
  question: unknown,
  point: Point | null,
  ask: () => Promise<T>,
): Promise<T> {
  const { cache, live } = deps;
  const { version, aside } = live.current();
  const { position, asOf } = point ? { position: point.position, asOf: point.recordedAt } : live.current();
  const hash = createHash('sha256')
    .update(JSON.stringify([question, point, aside]))
    .digest('base64url');
  const key = `cache:stats:${VIEW}:v${version}:${hash}`;
  const cached = await cache.get<T>(key);
  if (cached && cached.position === position && cached.asOf === asOf) return cached;
  const answer = await ask();
  cache.set(key, answer);
  return answer;
}

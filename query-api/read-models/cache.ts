/**
 * Redis in front of the read model, for what is asked often and does not change. It may be away, full or emptied at
 * any time: then reads go to Postgres, and nothing else happens.
 */
import type { RedisClient } from '../../platform/redis/connection.ts';

export type Cache = {
  /** Null when there is none, or Redis does not tell. */
  get: <T>(key: string) => Promise<T | null>;
  /** Not awaited by anybody: an answer never waits for the cache. */
  set: (key: string, value: unknown) => void;
};

/** After a failure Redis is left alone this long, lest every read waits for its time-out. */
const PAUSE_MS = 5_000;

export const noCache: Cache = { get: async () => null, set: () => {} };

export function createCache(
  redis: RedisClient,
  ttlMinutes: number,
  onError: (error: unknown) => void,
  now: () => number = () => performance.now(),
): Cache {
  if (ttlMinutes <= 0) return noCache;
  const ttlSeconds = Math.ceil(ttlMinutes * 60);
  let pausedUntil = Number.NEGATIVE_INFINITY;

  const failed = (error: unknown) => {
    pausedUntil = now() + PAUSE_MS;
    onError(error);
  };
  const usable = () => redis.status === 'ready' && now() >= pausedUntil;

  return {
    get: async <T>(key: string) => {
      if (!usable()) return null;
      try {
        const text = await redis.get(key);
        return text === null ? null : (JSON.parse(text) as T);
      } catch (error) {
        failed(error);
        return null;
      }
    },
    set: (key, value) => {
      if (!usable()) return;
      redis.set(key, JSON.stringify(value), 'EX', ttlSeconds).catch(failed);
    },
  };
}

/** Memory of a Redis, whole and by key. */
import { Redis } from 'ioredis';

export type RedisProbe = {
  usedBytes: () => Promise<number>;
  stream: (name: string) => Promise<{ entries: number; bytes: number }>;
  /** Mean over keys that begin so; throws when there is none. */
  meanBytes: (prefix: string) => Promise<number>;
  close: () => void;
};

const SAMPLES = 200;

export function openRedisProbe(uri: string): RedisProbe {
  const redis = new Redis(uri);
  const bytesOf = async (key: string) => Number(await redis.memory('USAGE', key, 'SAMPLES', 0));
  return {
    usedBytes: async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]),
    stream: async (name) => ({ entries: await redis.xlen(name), bytes: await bytesOf(name) }),
    meanBytes: async (prefix) => {
      const keys = (await redis.keys(`${prefix}*`)).slice(0, SAMPLES);
      if (keys.length === 0) throw new Error(`Redis has no key that begins with ${prefix}`);
      const sizes = await Promise.all(keys.map(bytesOf));
      return sizes.reduce((sum, bytes) => sum + bytes, 0) / sizes.length;
    },
    close: () => redis.disconnect(),
  };
}

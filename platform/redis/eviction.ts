import type { RedisClient } from './connection.ts';

/** Redis may throw task entries away when its memory is full. */
export class EvictionPolicyError extends Error {
  readonly code = 'redis_evicts';
}

/**
 * Throws when the server evicts keys at will (`allkeys-*`): a whole stream would go at once, again and again, and each
 * time every waiting prompt be dispatched anew. `volatile-*` spares streams, which never expire. A server that does not
 * show its configuration, or is away, passes: nothing is lost by eviction, only slow.
 */
export async function checkEviction(redis: RedisClient, onUnknown: (error: unknown) => void): Promise<void> {
  let policy: string | undefined;
  try {
    const answer = (await redis.call('CONFIG', 'GET', 'maxmemory-policy')) as string[];
    policy = answer[1];
  } catch (error) {
    onUnknown(error);
    return;
  }
  if (policy?.startsWith('allkeys')) {
    throw new EvictionPolicyError(
      `Redis evicts keys when its memory is full (maxmemory-policy ${policy}), streams too: set maxmemory-policy to noeviction.`,
    );
  }
}

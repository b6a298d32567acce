import { Cluster } from 'ioredis';
import { within } from '../within.ts';
import type { RedisClient } from './connection.ts';

/** A cluster that is away is waited for without end; a process must come up without it. */
const ANSWER_WITHIN_MS = 4_000;

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
  let policies: string[];
  try {
    policies = await within(ANSWER_WITHIN_MS, readPolicies(redis));
  } catch (error) {
    onUnknown(error);
    return;
  }
  const evicting = policies.find((policy) => policy.startsWith('allkeys'));
  if (evicting) {
    throw new EvictionPolicyError(
      `Redis evicts keys when its memory is full (maxmemory-policy ${evicting}), streams too: set maxmemory-policy to noeviction.`,
    );
  }
}

async function readPolicies(redis: RedisClient): Promise<string[]> {
  const servers: Pick<RedisClient, 'call'>[] = redis instanceof Cluster ? await mastersOf(redis) : [redis];
  const answers = await Promise.all(servers.map((one) => one.call('CONFIG', 'GET', 'maxmemory-policy')));
  return answers.map((answer) => (answer as string[])[1] ?? '');
}

/** It knows none before it is connected. */
async function mastersOf(cluster: Cluster): Promise<Pick<RedisClient, 'call'>[]> {
  if (cluster.status !== 'ready') await new Promise<void>((resolve) => cluster.once('ready', () => resolve()));
  return cluster.nodes('master');
}

/** PostgreSQL and Redis of the embedded stack: its own, or those that the environment names. */
import { join } from 'node:path';
import type { Lifecycle } from '../../../platform/lifecycle.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

export type Servers = { postgresUri: string; redisUri: string };

/** What is started here is stopped with the lifecycle; what was named is left alone. */
export async function ownServers(options: {
  dataDir: string;
  projectDir: string;
  postgresUri: string | null;
  redisUri: string | null;
  lifecycle: Lifecycle;
}): Promise<Servers> {
  const { dataDir, lifecycle } = options;
  const cacheDir = join(options.projectDir, '.cache');
  /** Also one that is told to stop, or whose neighbour fails, before it has started: it is stopped when it has. */
  const started = <T extends { stop: () => Promise<void> }>(name: string, starting: Promise<T>): Promise<T> => {
    lifecycle.push(name, async () => (await starting.catch(() => null))?.stop()); // why it did not start is thrown below
    return starting;
  };
  const [postgres, redis] = await Promise.all([
    options.postgresUri ? null : started('PostgreSQL', startPostgres({ dataDir })),
    options.redisUri ? null : started('Redis', startRedis({ dataDir, cacheDir })),
  ]);
  return { postgresUri: options.postgresUri ?? postgres!.uri, redisUri: options.redisUri ?? redis!.uri };
}

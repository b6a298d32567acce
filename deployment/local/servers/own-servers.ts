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
  const [postgres, redis] = await Promise.all([
    options.postgresUri ? null : startPostgres({ dataDir }),
    options.redisUri ? null : startRedis({ dataDir, cacheDir }),
  ]);
  if (postgres) lifecycle.push('PostgreSQL', postgres.stop);
  if (redis) lifecycle.push('Redis', redis.stop);
  return { postgresUri: options.postgresUri ?? postgres!.uri, redisUri: options.redisUri ?? redis!.uri };
}

/** Where a Redis server is to be had: on PATH, else unpacked from the distribution's own packages, not installed. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { StartError } from './start-error.ts';
import { UnpackError, unpackedProgram, unpackPackages } from './unpack-packages.ts';

/** `args` go before the server's own. */
export type RedisBinary = { command: string; args: string[] };

/** What redis-server needs beyond a base system. */
const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'];
const WHAT_TO_DO = 'install Redis 7 or newer (redis-server on PATH), or set REDIS_URI to a Redis that you run.';

/** `cacheDir` keeps the unpacked packages for later starts. */
export function findRedis(cacheDir: string): RedisBinary {
  for (const command of ['redis-server', 'valkey-server']) {
    const onPath = { command, args: [] };
    if (isRecent(onPath)) return onPath;
  }
  const root = join(cacheDir, 'redis');
  try {
    unpackPackages(root, PACKAGES);
  } catch (error) {
    if (!(error instanceof UnpackError)) throw error;
    throw new StartError(
      `There is no redis-server on PATH and none could be fetched (${error.message}): ${WHAT_TO_DO}`,
    );
  }
  const [command, ...args] = unpackedProgram(root, 'usr/bin/redis-server');
  const unpacked = { command, args };
  if (!isRecent(unpacked))
    throw new StartError(`The Redis in ${root} does not run: remove that folder, or ${WHAT_TO_DO}`);
  return unpacked;
}

function isRecent({ command, args }: RedisBinary): boolean {
  const { status, stdout } = spawnSync(command, [...args, '--version'], { encoding: 'utf8' });
  return status === 0 && Number(/v=(\d+)/.exec(stdout)?.[1] ?? 0) >= 7;
}

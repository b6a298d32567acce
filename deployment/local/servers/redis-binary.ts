/** Where a Redis server is to be had: on PATH, else unpacked from the distribution's own packages, not installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from './start-error.ts';

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
  if (!existsSync(root)) unpackPackages(cacheDir, root);
  const lib = join(root, 'usr/lib');
  const libraries = existsSync(lib) ? readdirSync(lib).map((dir) => join(lib, dir)) : [];
  // env(1) sets the library path and becomes the server: the pid stays.
  const unpacked = {
    command: 'env',
    args: [`LD_LIBRARY_PATH=${libraries.join(':')}`, join(root, 'usr/bin/redis-server')],
  };
  if (!isRecent(unpacked))
    throw new StartError(`The Redis in ${root} does not run: remove that folder, or ${WHAT_TO_DO}`);
  return unpacked;
}

function isRecent({ command, args }: RedisBinary): boolean {
  const { status, stdout } = spawnSync(command, [...args, '--version'], { encoding: 'utf8' });
  return status === 0 && Number(/v=(\d+)/.exec(stdout)?.[1] ?? 0) >= 7;
}

function unpackPackages(cacheDir: string, root: string): void {
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, 'redis-new-'));
  try {
    const run = (command: string, args: string[]) => spawnSync(command, args, { cwd: work, encoding: 'utf8' });
    // Package lists of its own: they may be missing on a bare machine, and not be ours to write.
    const own = ['lists', 'cache/archives'].map((dir) => join(work, 'apt', dir));
    for (const dir of own) mkdirSync(join(dir, 'partial'), { recursive: true });
    const options = [
      '-o',
      `Dir::State::lists=${own[0]}`,
      '-o',
      `Dir::Cache=${join(work, 'apt/cache')}`,
      '-o',
      'APT::Sandbox::User=root',
    ];
    let fetched = run('apt-get', ['download', '-qq', ...PACKAGES]);
    if (fetched.status !== 0) {
      run('apt-get', ['update', '-qq', ...options]);
      fetched = run('apt-get', ['download', '-qq', ...options, ...PACKAGES]);
    }
    if (fetched.status !== 0) {
      const why = fetched.error ? 'apt-get is not there' : 'the package registry did not give it';
      throw new StartError(`There is no redis-server on PATH and none could be fetched (${why}): ${WHAT_TO_DO}`);
    }
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      const unpacked = run('dpkg', ['-x', file, 'root']);
      if (unpacked.status !== 0) throw new StartError(`${file} could not be unpacked (dpkg): ${WHAT_TO_DO}`);
    }
    renameSync(join(work, 'root'), root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

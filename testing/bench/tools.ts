/** Programs of the distribution that the benchmarks use: on PATH, else unpacked from its packages, not installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const CACHE = join(import.meta.dirname, '../../.cache');

/** Command and leading arguments. */
export type Tool = [command: string, ...args: string[]];

export const findWrk = (): Tool =>
  find('wrk', ['--version'], ['wrk', 'libluajit-5.1-2', 'libluajit-5.1-common'], 'usr/bin/wrk');
export const findPgbench = (): Tool =>
  find('pgbench', ['--version'], ['postgresql-15', 'libpq5'], 'usr/lib/postgresql/15/bin/pgbench');

function find(name: string, probe: string[], packages: string[], path: string): Tool {
  if (runs([name, ...probe])) return [name];
  const root = join(CACHE, name);
  if (!existsSync(root)) unpack(root, packages);
  const lib = join(root, 'usr/lib');
  const libraries = existsSync(lib)
    ? readdirSync(lib)
        .map((dir) => join(lib, dir))
        .join(':')
    : '';
  return ['env', `LD_LIBRARY_PATH=${libraries}`, join(root, path)];
}

// wrk prints its version and exits 1.
const runs = ([command = '', ...args]: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).error === undefined;

function unpack(root: string, packages: string[]): void {
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(`${root}-new-`);
  try {
    const fetched = spawnSync('apt-get', ['download', '-qq', ...packages], { cwd: work, encoding: 'utf8' });
    if (fetched.status !== 0) throw new Error(`${packages.join(', ')} could not be fetched: ${fetched.stderr}`);
    for (const file of readdirSync(work)) spawnSync('dpkg', ['-x', file, 'root'], { cwd: work });
    renameSync(join(work, 'root'), root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

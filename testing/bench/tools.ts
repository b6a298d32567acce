/** Programs of the distribution that benchmarks and checks use: on PATH, else unpacked from its packages, not installed. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { unpackedProgram, unpackPackages } from '../../deployment/local/servers/unpack-packages.ts';

const CACHE = join(import.meta.dirname, '../../.cache');

/** Command and leading arguments. */
export type Tool = [command: string, ...args: string[]];

export const findWrk = (): Tool =>
  find('wrk', ['--version'], ['wrk', 'libluajit-5.1-2', 'libluajit-5.1-common'], 'usr/bin/wrk');
export const findPgbench = (): Tool =>
  find('pgbench', ['--version'], ['postgresql-15', 'libpq5'], 'usr/lib/postgresql/15/bin/pgbench');
export const findBaseBackup = (): Tool =>
  find(
    'pg_basebackup',
    ['--version'],
    ['postgresql-client-15', 'libpq5', 'libldap-2.5-0', 'libsasl2-2'],
    'usr/lib/postgresql/15/bin/pg_basebackup',
  );

function find(name: string, probe: string[], packages: string[], path: string): Tool {
  if (runs([name, ...probe])) return [name];
  const root = join(CACHE, name);
  unpackPackages(root, packages);
  return unpackedProgram(root, path);
}

// wrk prints its version and exits 1.
const runs = ([command = '', ...args]: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).error === undefined;

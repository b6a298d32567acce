/** `npm test`: starts the servers, runs the suite (or the files named), stops the servers, whatever happens. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { startTestServers } from './kit/servers.ts';

const root = join(import.meta.dirname, '..');
const named = process.argv.slice(2);
const patterns = named.length > 0 ? named : ['**/*.test.ts'];
const files = globSync(patterns, {
  cwd: root,
  exclude: (name) => ['node_modules', 'dist', '.data', 'peers'].includes(name),
});
if (files.length === 0) {
  console.error(`No test file matches ${patterns.join(' ')}`);
  process.exit(1);
}

// The page at / is served from what this bundles; a fresh clone has none.
const page = spawnSync(process.execPath, ['console/build.mjs'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
if (page.status !== 0) process.exit(1);

const servers = await startTestServers(root);
const env = { ...process.env, TEST_POSTGRES_URI: servers.postgresUri, TEST_REDIS_URI: servers.redisUri };
let suite: ChildProcess | null = null;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => suite?.kill(signal));

// Tests of pure code share a process: starting one for each file would take longer than they do. Others have their own.
const isPure = (file: string) => file.endsWith('.test.ts') && !/\.(int|alone)\.test\.ts$/.test(file);
const code =
  (await run(['--test-isolation=none'], files.filter(isPure))) ||
  (await run(
    ['--test-concurrency=2'],
    files.filter((file) => !isPure(file)),
  ));
await servers.stop();
process.exit(code);

async function run(how: string[], some: string[]): Promise<number> {
  if (some.length === 0) return 0;
  const args = ['--import', 'tsx', '--test', '--test-timeout=180000', ...how, ...some.sort()];
  suite = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  return new Promise((resolve) => suite?.on('exit', (status) => resolve(status ?? 1)));
}

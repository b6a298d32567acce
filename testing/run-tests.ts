/** `npm test`: starts the servers, runs the suite (or the files named), stops the servers, whatever happens. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { startTestServers } from './kit/servers.ts';

const root = join(import.meta.dirname, '..');
const DEADLINE = join(import.meta.dirname, 'kit/deadline.ts');
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
const suites: ChildProcess[] = [];
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const suite of suites) suite.kill(signal);
  });
}

// Tests of pure code share a process: starting one for each file would take longer than they do. Others have their own.
const isPure = (file: string) => file.endsWith('.test.ts') && !/\.(int|alone)\.test\.ts$/.test(file);
const ended = await Promise.all([
  run('pipe', ['--test-isolation=none'], files.filter(isPure)),
  run(
    'inherit',
    ['--test-concurrency=2'],
    files.filter((file) => !isPure(file)),
  ),
]);
await servers.stop();
process.exit(Math.max(...ended));

/** What is piped is shown when the suite has ended, lest two of them talk at once. */
async function run(output: 'pipe' | 'inherit', how: string[], some: string[]): Promise<number> {
  if (some.length === 0) return 0;
  const args = ['--import', 'tsx', '--import', DEADLINE, '--test', '--test-timeout=180000', ...how, ...some.sort()];
  const suite = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', output, 'inherit'], env });
  suites.push(suite);
  const said: Buffer[] = [];
  suite.stdout?.on('data', (piece: Buffer) => said.push(piece));
  return new Promise((resolve) => {
    suite.on('close', (status) => process.stdout.write(Buffer.concat(said), () => resolve(status ?? 1)));
  });
}

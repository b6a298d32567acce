/** `npm test`: starts the servers, runs the suite (or the files named), stops the servers, whatever happens. */
import { spawn, spawnSync } from 'node:child_process';
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
const args = ['--import', 'tsx', '--test', '--test-timeout=180000', '--test-concurrency=2', ...files.sort()];
const suite = spawn(process.execPath, args, {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, TEST_POSTGRES_URI: servers.postgresUri, TEST_REDIS_URI: servers.redisUri },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => suite.kill(signal));
const code = await new Promise<number>((resolve) => suite.on('exit', (status) => resolve(status ?? 1)));
await servers.stop();
process.exit(code);

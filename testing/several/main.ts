/**
 * `npm run several`: two of every service are restarted one by one under load, on each way to run Postgres and Redis. One
 * fleet after the other: side by side they would wait for each other. With names of check files these alone.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync('testing/several/*.check.ts', { cwd: ROOT }).sort();
const deadline = join(ROOT, 'testing/kit/deadline.ts');
const args = ['--import', deadline, '--test', '--test-concurrency=1', '--test-timeout=300000', ...files];
const suite = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => suite.kill(signal));
suite.on('exit', (code) => process.exit(code ?? 1));

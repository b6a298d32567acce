/** `npm run docker`: deployment/ is checked as far as it can be without an engine, and the image's files are run. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { installTools, ROOT } from './tools.ts';

installTools();
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync('testing/docker/*.check.ts', { cwd: ROOT });
const suite = spawn(process.execPath, ['testing/run-tests.ts', ...files], { cwd: ROOT, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => suite.kill(signal));
suite.on('exit', (code) => process.exit(code ?? 1));

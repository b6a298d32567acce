// The door of `npm start`, `npm test` and the command-line tools on a fresh clone: installs what is missing, then runs
// the given TypeScript file on the Node that the project pins. Plain JavaScript without dependencies, for Node >= 20.
//
//   node deployment/local/run.mjs [OPTIONS OF NODE] FILE [ARGUMENTS]
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const modules = join(root, 'node_modules');
// npm writes this file when it has installed; an older one belongs to a former lock file.
const installed = join(modules, '.package-lock.json');

const isWindows = process.platform === 'win32';
const nodeBinary = join(modules, 'node', 'bin', isWindows ? 'node.exe' : 'node');

const isFresh = () =>
  existsSync(nodeBinary) &&
  existsSync(installed) &&
  statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;

if (!isFresh()) {
  console.error('Installing the packages this version needs (once) …');
  const install = spawnSync(isWindows ? 'npm.cmd' : 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
    shell: isWindows,
  });
  if (install.status !== 0) {
    console.error('npm ci failed: see the lines above. Is the npm registry reachable?');
    process.exit(1);
  }
}

const given = process.argv.slice(2);
const first = given.findIndex((argument) => !argument.startsWith('--'));
const [options, file, args] = [given.slice(0, first), given[first], given.slice(first + 1)];
const child = spawn(nodeBinary, [...options, join(root, file), ...args], {
  cwd: root,
  stdio: 'inherit',
  env: {
    // Compiled code is kept from one start to the next: loading it is most of what a start takes.
    NODE_COMPILE_CACHE: join(root, '.cache', 'node'),
    ...process.env,
    PATH: `${dirname(nodeBinary)}${isWindows ? ';' : ':'}${process.env.PATH}`,
  },
});
// Ctrl-C reaches the whole group, a signal from a supervisor only this process: it is passed on in both cases, and the
// child takes what comes at once for one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code ?? 1));

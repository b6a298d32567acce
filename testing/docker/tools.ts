/** What checks deployment/: packages of its own, and programs of the distribution that are unpacked and not installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { unpackedProgram, unpackPackages } from '../../deployment/local/servers/unpack-packages.ts';

export const ROOT = join(import.meta.dirname, '../..');
const TOOLS = join(import.meta.dirname, 'tools');

/** HAProxy runs the gateway's configuration; promtool is a part of Prometheus. */
const PROGRAMS = {
  haproxy: {
    packages: ['haproxy', 'liblua5.3-0', 'libopentracing-c-wrapper0', 'libopentracing1', 'libpcre2-8-0'],
    path: 'usr/sbin/haproxy',
    version: '-v',
  },
  promtool: { packages: ['prometheus'], path: 'usr/bin/promtool', version: '--version' },
};

export function installTools(): void {
  const installed = join(TOOLS, 'node_modules/.package-lock.json');
  const isFresh =
    existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(TOOLS, 'package-lock.json')).mtimeMs;
  if (isFresh) return;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', args, { cwd: TOOLS, stdio: 'inherit' });
  if (status !== 0) throw new Error('the packages of testing/docker/tools could not be installed');
}

/** The command that starts it, and the arguments before its own. */
export function programOf(name: keyof typeof PROGRAMS): [command: string, ...args: string[]] {
  const { packages, path, version } = PROGRAMS[name];
  if (spawnSync(name, [version], { stdio: 'ignore' }).status === 0) return [name];
  const root = join(ROOT, '.cache', packages[0]!);
  unpackPackages(root, packages);
  return unpackedProgram(root, path);
}

export type Verdict = { status: number | null; said: string };

/** A command of the packages: the file behind it, then its arguments, paths from the project's root. */
export const lint = (command: string, ...args: string[]): Verdict =>
  verdictOf(process.execPath, [join(TOOLS, 'node_modules', command), ...args]);

export function verdictOf(command: string, args: string[]): Verdict {
  const env = { PATH: process.env['PATH'] ?? '' };
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', env });
  if (error) throw error;
  return { status, said: stdout + stderr };
}

export function parseYaml(text: string): unknown {
  const yaml = createRequire(join(TOOLS, 'package.json'))('yaml') as {
    parse: (text: string, options: { merge: boolean }) => unknown;
  };
  return yaml.parse(text, { merge: true });
}

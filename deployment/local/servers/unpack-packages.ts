/** Programs of the distribution's packages, unpacked into a folder and not installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Says which program is missing, and why the packages could not be had. */
export class UnpackError extends Error {
  readonly code = 'packages_unavailable';
}

/** `root` is made whole or not at all; nothing is done where it is. */
export function unpackPackages(root: string, packages: string[]): void {
  if (existsSync(root)) return;
  mkdirSync(dirname(root), { recursive: true });
  const work = mkdtempSync(`${root}-new-`);
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
    let fetched = run('apt-get', ['download', '-qq', ...packages]);
    if (fetched.status !== 0) {
      run('apt-get', ['update', '-qq', ...options]);
      fetched = run('apt-get', ['download', '-qq', ...options, ...packages]);
    }
    if (fetched.status !== 0) {
      throw new UnpackError(fetched.error ? 'apt-get is not there' : 'the package registry did not give it');
    }
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      if (run('dpkg', ['-x', file, 'root']).status !== 0) throw new UnpackError(`dpkg could not unpack ${file}`);
    }
    try {
      renameSync(join(work, 'root'), root);
    } catch (error) {
      // Another process has unpacked them at the same time.
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || !existsSync(root)) throw error;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** As command and leading arguments: env(1) sets the library path and becomes the program, so that the pid stays. */
export function unpackedProgram(root: string, path: string): [command: string, ...args: string[]] {
  const lib = join(root, 'usr/lib');
  const libraries = existsSync(lib) ? readdirSync(lib).map((dir) => join(lib, dir)) : [];
  return ['env', `LD_LIBRARY_PATH=${libraries.join(':')}`, join(root, path)];
}

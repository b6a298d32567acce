/** The data folder: of one stack at a time. */

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts';
import { StartError } from './start-error.ts';

/** Throws `StartError` while another stack lives on this folder; a dead one's lock is taken over. */
export function lockDataDir(dataDir: string): { release: () => void } {
  const file = join(dataDir, 'stack.lock');
  const mine = JSON.stringify(identify(process.pid));
  for (;;) {
    try {
      writeFileSync(file, mine, { flag: 'wx', mode: 0o600 });
      return {
        release: () => {
          if (existsSync(file) && readFileSync(file, 'utf8') === mine) rmSync(file);
        },
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = readLock(file);
    if (holder && isAlive(holder)) {
      throw new StartError(
        `The data folder ${dataDir} is in use by process ${holder.pid}: stop that one (Ctrl-C), or set DATA_DIR to another folder.`,
      );
    }
    // Renamed first: of two that find the same dead lock only one may remove it, or the second removes the first's new one.
    const grave = `${file}.${randomBytes(6).toString('hex')}`;
    try {
      renameSync(file, grave);
      rmSync(grave);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

function readLock(file: string): ProcessIdentity | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch (error) {
    // Torn by a crash while it was written, or gone just now: either way nobody's.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A random secret, made once and kept in the folder with mode 0600. */
export function keptSecret(dataDir: string, name: string): string {
  const file = join(dataDir, name);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const secret = randomBytes(24).toString('hex');
  writeFileSync(file, secret, { mode: 0o600 });
  return secret;
}

/** Folders that a variable names: whether they can be written is told before anything is started. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import { ConfigError } from './load.ts';

/** A full disk is no fault of the configuration: what lies there must be taken up for it to become less. */
const FULL = ['ENOSPC', 'EDQUOT'];

/** Its whole path; it is made when it is not there. Throws `ConfigError`. */
export function writableFolder(variable: string, folder: string): string {
  const path = resolve(folder);
  try {
    makeFolder(path);
    const probe = join(path, `.probe-${randomBytes(6).toString('hex')}`); // others may look at the same time
    closeSync(openSync(probe, 'wx', 0o600));
    rmSync(probe);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (FULL.includes(code)) return path;
    throw new ConfigError([
      `${variable}: the folder ${JSON.stringify(path)} cannot be written (${code}): give it to this user, or set ${variable} to another one`,
    ]);
  }
  return path;
}

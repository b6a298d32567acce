/** Folders, made with those above them that are not there yet. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * For its owner alone. Returns the uppermost folder that had to be made, undefined when all were there. One by one: `mkdir`
 * with `recursive` never ends below /proc, where the folder above is there and one in it still "has no folder above".
 */
export function makeFolder(folder: string): string | undefined {
  const path = resolve(folder);
  if (isFolder(path)) return undefined;
  const parent = dirname(path);
  const above = existsSync(parent) || parent === path ? undefined : makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!isFolder(path)) throw error; // else somebody made it meanwhile
    return above;
  }
  return above ?? path;
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Files that are there whole or not at all, also after a power cut: written under another name, fsynced, renamed. Nobody but
 * their owner reads them: they have everybody's words.
 */
import { open, rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeFolder } from '../make-folder.ts';

export const OWNER_ONLY = 0o600;

const DRAFT = '.draft';

/** Of a file that is being written; one that a crash left is written over. */
export const draftOf = (path: string): string => `${path}${DRAFT}`;

/** `draftOf(path)` is written and fsynced: from now on it is `path`, in place of what was there. */
export async function publish(path: string, folder: string): Promise<void> {
  await rename(draftOf(path), path);
  await syncFolder(folder); // the name too must survive
}

export async function writeDurably(path: string, folder: string, text: string): Promise<void> {
  const handle = await open(draftOf(path), 'w', OWNER_ONLY);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await publish(path, folder);
}

/** With those above it that are not there yet. */
export async function makeDurableFolder(path: string): Promise<void> {
  const first = makeFolder(path);
  await syncFolder(path); // one that cannot be synced is refused before anything is written
  if (first === undefined) return;
  for (let folder = resolve(path); folder !== dirname(first); folder = dirname(folder))
    await syncFolder(dirname(folder));
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

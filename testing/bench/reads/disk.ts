/** What is on disk: by table, in all, and the most that there was. */
import { type Dirent, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { asOwner } from './base.ts';

/** With its indexes; a partitioned one as a whole. */
export type TableSize = { table: string; bytes: number };

/** The largest first. */
export async function tableSizes(uri: string): Promise<TableSize[]> {
  const rows = await asOwner<{ table: string; bytes: string }>(
    uri,
    `SELECT coalesce(i.inhparent, c.oid)::regclass::text AS "table", sum(pg_total_relation_size(c.oid))::text AS bytes
       FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC`,
  );
  return rows.map(({ table, bytes }) => ({ table, bytes: Number(bytes) }));
}

export const sumOf = (sizes: readonly TableSize[]): number => sizes.reduce((sum, { bytes }) => sum + bytes, 0);

/** Of the tables that grow with copies: sums over all users are as many however many there are. */
export const copiedBytes = async (uri: string): Promise<number> =>
  sumOf((await tableSizes(uri)).filter(({ table }) => !table.startsWith('model_')));

/**
 * Times what the copies of a log take in the end: room to sort, and for write-ahead log. At 300,000 prompts the most in use at once was
 * 0.5 GB more than the large log's 1.4 GB in the end, the small logs included, which are there before this is asked.
 */
const ROOM = 1.15;

export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`;

/** Throws when the disk of `folder` has not the room for `bytes` more and what is written on the way. */
export function checkRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const [needed, free] = [bytes * ROOM, bavail * bsize];
  if (free < needed)
    throw new Error(`${gigabytes(needed)} of disk are needed in ${folder}, ${gigabytes(free)} are free`);
}

/** What all files below a folder take on disk. They come and go meanwhile. */
export function folderBytes(folder: string): number {
  let bytes = 0;
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += folderBytes(path);
    else bytes += (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
  }
  return bytes;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Looks every few seconds until it is stopped; then it tells the most that it saw, or throws what a look threw. */
export function watchMost(look: () => number, everyMs: number): () => Promise<number> {
  const stop = new AbortController();
  const watching = (async () => {
    let most = look();
    while (!stop.signal.aborted) {
      await after(everyMs, undefined, { signal: stop.signal }).catch(() => {}); // woken to stop
      most = Math.max(most, look());
    }
    return most;
  })();
  watching.catch(() => {}); // thrown where it is awaited
  return () => {
    stop.abort();
    return watching;
  };
}

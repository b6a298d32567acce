/** What a projection that is new reads of the log's beginning, where that has left the table for an archive. */
import type pg from 'pg';
import { type LogArchive, openArchive } from '../platform/archive/open-archive.ts';
import { type EventRow, readBounds } from '../platform/postgres/read.ts';

export type ArchivedEvents = {
  /** Events with `after < position ≤ upTo` up to the floor, gapless; `after` is below it. */
  read: (after: number, limit: number, upTo?: number) => Promise<EventRow[]>;
  close: () => Promise<void>;
};

/** Opened, and checked to the last bit, when it is first needed: never, most often. */
export function createArchivedEvents(pool: pg.Pool, dir: string): ArchivedEvents {
  let opened: LogArchive | null = null;

  async function open(after: number): Promise<LogArchive> {
    if (opened && after < opened.floor) return opened;
    // The floor has risen since.
    await opened?.close();
    opened = await openArchive(dir, await readBounds(pool));
    return opened;
  }

  return {
    read: async (after, limit, upTo = Number.MAX_SAFE_INTEGER) => (await open(after)).read(after, limit, upTo),
    close: async () => {
      await opened?.close();
      opened = null;
    },
  };
}

/**
 * One stream that is set aside, as a log of its own: its row in `parked_stream` is the cursor. What is folded of it and
 * where it waits commit together, so a replay that dies, or that two operators start, folds every event once.
 */
import type pg from 'pg';
import type { Parked } from '../../platform/postgres/parked.ts';
import type { EventRow } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { Projection } from '../projection.ts';
import { inStep, type ProjectionStore } from '../projection-store.ts';

const LOCK_CURSOR = readSql(import.meta.url, 'sql/lock-cursor.sql');
const READ = readSql(import.meta.url, 'sql/read-waiting.sql');
const ADVANCE = readSql(import.meta.url, 'sql/advance.sql');
const RELEASE = readSql(import.meta.url, 'sql/release.sql');
const WAITS_AT = readSql(import.meta.url, 'sql/waits-at.sql');

export type WaitingStream = Pick<Parked, 'version' | 'streamId'>;

/** Null when the stream is not aside any more. */
export async function waitsAt(pool: pg.Pool, name: string, stream: WaitingStream): Promise<number | null> {
  const values = [name, stream.version, stream.streamId];
  const { rows } = await pool.query<{ position: number }>(WAITS_AT, values);
  return rows[0]?.position ?? null;
}

export function createWaitingStore<State, Rows>(
  pool: pg.Pool,
  projection: Projection<State, Rows>,
  { version, streamId }: WaitingStream,
): ProjectionStore<State, Rows> {
  const place = [projection.name, version];
  return {
    cursor: async () => {
      const position = await waitsAt(pool, projection.name, { version, streamId });
      // Not aside any more: nothing lies after the end.
      return position === null ? Number.MAX_SAFE_INTEGER : position - 1;
    },
    read: async (after, limit) => {
      const { rows } = await pool.query<EventRow>(READ, [...place, streamId, after, limit]);
      return rows;
    },
    load: async (streamIds) => ({ states: await projection.load(pool, version, streamIds), parked: [] }),
    fold: projection.fold,
    write: ({ from, to, rows }) =>
      // Committed to disk: the operator is told that it is done.
      inStep(pool, '', async (client) => {
        // A runner begins its step with this row: from here to the commit nothing is passed over.
        const cursor = await client.query<{ position: number }>(LOCK_CURSOR, place);
        const advanced = await client.query<{ next: number | null }>(ADVANCE, [...place, streamId, from, to.position]);
        const [passed, waits] = [cursor.rows[0], advanced.rows[0]];
        if (!passed || !waits) return false;
        if (rows) await projection.write(client, version, rows);
        // What comes after the cursor is the runner's.
        if (waits.next === null || waits.next > passed.position) await client.query(RELEASE, [...place, streamId]);
        return true;
      }),
  };
}

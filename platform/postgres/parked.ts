/** Streams that a projection has set aside because of an event it could not fold; read by services and tools alike. */
import type pg from 'pg';
import { readSql } from './sql-file.ts';

type Db = Pick<pg.Pool, 'query'>;

/** Where a stream is set aside; `position` is the event it waits at. */
export type Parked = { projection: string; version: number; streamId: string; position: number; error: string };

export type ParkedRow = Parked & {
  /** Of the event it waits at; null when the log does not have it. */
  type: string | null;
  schemaVersion: number | null;
  parkedAt: string;
  /** Later events of the stream. */
  waiting: number;
};

/** The last row of the page before. */
export type ParkedKey = Pick<Parked, 'projection' | 'version' | 'streamId'>;

const LIST = readSql(import.meta.url, 'sql/list-parked.sql');
const FIND = readSql(import.meta.url, 'sql/find-parked.sql');
const COUNT = readSql(import.meta.url, 'sql/count-parked.sql');
const START: ParkedKey = { projection: '', version: 0, streamId: '00000000-0000-0000-0000-000000000000' };

/** By keyset, the oldest streams first: a page costs the same at any depth. */
export async function listParked(
  db: Db,
  page: { after: ParkedKey | null; limit: number },
): Promise<{ data: ParkedRow[]; next: ParkedKey | null }> {
  const { projection, version, streamId } = page.after ?? START;
  const values = [projection, version, streamId, page.limit + 1]; // one more tells whether there is a next page
  const { rows } = await db.query<ParkedRow>({ text: LIST, values });
  const data = rows.slice(0, page.limit);
  return { data, next: rows.length > page.limit ? (data.at(-1) ?? null) : null };
}

export async function findParked(db: Db, streamId: string): Promise<Parked[]> {
  const { rows } = await db.query<Parked>({ text: FIND, values: [streamId] });
  return rows;
}

/** By projection; one with nothing set aside is there with 0. */
export async function countParked(db: Db): Promise<Map<string, number>> {
  const { rows } = await db.query<{ projection: string; streams: number }>({ name: 'count-parked', text: COUNT });
  return new Map(rows.map(({ projection, streams }) => [projection, streams]));
}

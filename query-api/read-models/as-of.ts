/**
 * Looking back: sums as they were at a position. Whole buckets are read as they are now and corrected by the few prompts
 * that were under way there, whose streams are folded from the log up to it, and by those submitted later in its bucket.
 */
import type pg from 'pg';
import { contributionsOf } from '../../contracts/prompt/contribution.ts';
import { createDeltas, type UsageDelta } from '../../contracts/prompt/deltas.ts';
import { type StateRow, unpackState } from '../../contracts/prompt/packed-state.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import { type EventRow, readStreamRows, toEvent } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { floorTo, QUARTER_MS, type Range } from './segments.ts';

type Db = Pick<pg.Pool | pg.PoolClient, 'query'>;

/** A place in the log that is looked back to, and when its event was recorded. */
export type Point = { position: number; recordedAt: string };

const POINT = readSql(import.meta.url, '../sql/as-of-point.sql');
const CHANGED = versionedSql(import.meta.url, '../sql/as-of-changed.sql');
const LATER = versionedSql(import.meta.url, '../sql/as-of-later.sql');
/** Prompts whose streams are in memory at a time. */
const PAGE = 200;

/** `archivedUpTo`: some of what was so then has left the log, which goes back to this position. */
export type NoPoint = 'future' | 'before_first' | { archivedUpTo: number };

/** The last event at or before a position or time. */
export async function findPoint(db: Db, asOf: { position: number } | { time: string }): Promise<Point | NoPoint> {
  const values = 'position' in asOf ? [asOf.position, null] : [null, asOf.time];
  type Row = {
    position: number | null;
    recorded_at: string | null;
    head: number;
    floor: number;
    began_at: string | null;
    now: string;
  };
  const { rows } = await db.query<Row>({ name: 'as-of-point', text: POINT, values });
  const { position, recorded_at, head, floor, began_at, now } = rows[0]!;
  if ('position' in asOf ? asOf.position > head : Date.parse(asOf.time) > Date.parse(now)) return 'future';
  if (position !== null && recorded_at !== null) return { position, recordedAt: recorded_at };
  const begun = 'position' in asOf ? asOf.position > 0 : Date.parse(asOf.time) >= Date.parse(began_at ?? now);
  return floor > 0 && begun ? { archivedUpTo: floor } : 'before_first';
}

/** Where the bucket of a point ends: nothing that was submitted by then lies beyond. */
export const endOfBucket = ({ recordedAt }: Pick<Point, 'recordedAt'>): number =>
  floorTo(Date.parse(recordedAt), QUARTER_MS) + QUARTER_MS;

export type Corrections = { usage: UsageDelta[] };

export const noCorrections: Corrections = { usage: [] };

/**
 * What makes the sums of now those of then, of prompts submitted in `range`, which ends with the point's bucket at most.
 * `client` is in a transaction with one snapshot, the same that the sums are read in.
 */
export async function correctionsFor(
  client: pg.PoolClient,
  version: number,
  point: Point,
  filter: { userId: string | null; model: string | null },
  range: Range,
  signal: AbortSignal,
): Promise<Corrections> {
  const sums = createDeltas();
  const from = range.from ?? 0;
  const to = Math.min(range.to ?? Number.POSITIVE_INFINITY, endOfBucket(point));
  const values = (start: number) => [
    point.position,
    filter.userId,
    filter.model,
    new Date(start).toISOString(),
    new Date(Math.max(start, to)).toISOString(),
  ];
  for await (const now of pages(client, CHANGED(version), values(from), signal)) {
    const then = await statesAt(client, now, point.position);
    for (const state of now) sums.add(contributionsOf(state), -1);
    for (const state of then) sums.add(contributionsOf(state), 1);
  }
  const later = Math.max(from, Date.parse(point.recordedAt));
  for await (const now of pages(client, LATER(version), values(later), signal)) {
    for (const state of now) sums.add(contributionsOf(state), -1);
  }
  return { usage: sums.usage() };
}

/** The same prompts at a position that none of them was submitted after. */
async function statesAt(db: Db, now: PromptState[], position: number): Promise<PromptState[]> {
  const streams = await readStreamRows(
    db,
    now.map(({ promptId }) => promptId),
  );
  return now.map(({ promptId }) => {
    const state = fold(upTo(streams.get(promptId) ?? [], position).map(toEvent));
    if (!state) throw new Error(`the log has no event of prompt ${promptId} up to ${position}`);
    return state;
  });
}

/** Before they are read: what came later may be of a release that this one does not know. */
export const upTo = (rows: EventRow[], position: number): EventRow[] => rows.filter((row) => row.position <= position);

async function* pages(
  client: pg.PoolClient,
  text: string,
  values: unknown[],
  signal: AbortSignal,
): AsyncGenerator<PromptState[]> {
  await client.query(`DECLARE looked_back NO SCROLL CURSOR FOR ${text}`, values);
  for (;;) {
    signal.throwIfAborted();
    const { rows } = await client.query<StateRow>(`FETCH ${PAGE} FROM looked_back`);
    if (rows.length > 0) yield rows.map(unpackState);
    if (rows.length < PAGE) break;
  }
  await client.query('CLOSE looked_back');
}

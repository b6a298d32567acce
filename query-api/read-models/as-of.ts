/**
 * Looking back: sums as they were at a position. Whole buckets are read as they are now and corrected by the few prompts
 * that were under way there, whose streams are folded from the log up to it. The position's own bucket is read too, and corrected by
 * those submitted later in it; or it is not, and those submitted in it by then are added: whichever part of it is the shorter.
 */
import type pg from 'pg';
import { contributionsOf } from '../../contracts/prompt/contribution.ts';
import { createDeltas, type UsageDelta } from '../../contracts/prompt/deltas.ts';
import { type StateRow, unpackState } from '../../contracts/prompt/packed-state.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import { type EventRow, readBareStreams, toEvent } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { floorTo, QUARTER_MS, type Range } from './segments.ts';

type Db = Pick<pg.Pool | pg.PoolClient, 'query'>;

/** A place in the log that is looked back to, and when its event was recorded. */
export type Point = { position: number; recordedAt: string };

const POINT = readSql(import.meta.url, '../sql/as-of-point.sql');
const CHANGED = versionedSql(import.meta.url, '../sql/as-of-changed.sql');
const LATER = versionedSql(import.meta.url, '../sql/as-of-later.sql');
const EARLIER = versionedSql(import.meta.url, '../sql/as-of-earlier.sql');
/** Prompts that are in memory at a time, with their streams, which have no texts. */
const PAGE = 1_000;

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

/** Where what is read of the sums ends: with the bucket of a point, or before it. */
export function readUpTo({ recordedAt }: Pick<Point, 'recordedAt'>): number {
  const time = Date.parse(recordedAt);
  const start = floorTo(time, QUARTER_MS);
  return time - start < QUARTER_MS / 2 ? start : start + QUARTER_MS;
}

/**
 * What makes the sums of now, of prompts submitted in `range` and before `readUpTo` the point, those of then in `range`, which ends
 * with the point's bucket at most.
 * `client` is in a transaction with one snapshot, the same that the sums are read in.
 */
export async function correctionsFor(
  client: pg.PoolClient,
  version: number,
  point: Point,
  filter: { userId: string | null; model: string | null },
  range: Range,
  signal: AbortSignal,
): Promise<UsageDelta[]> {
  const sums = createDeltas();
  const from = range.from ?? 0;
  const to = Math.min(range.to ?? Number.POSITIVE_INFINITY, endOfBucket(point));
  const read = Math.min(to, readUpTo(point));
  const ask = (text: (version: number) => string, start: number, end: number) => {
    const times = [start, Math.max(start, end)].map((ms) => new Date(ms).toISOString());
    return pages(client, text(version), [point.position, filter.userId, filter.model, ...times], signal);
  };
  const add = (states: PromptState[], sign: 1 | -1) => {
    for (const state of states) sums.add(contributionsOf(state), sign);
  };
  for await (const rows of ask(CHANGED, from, read)) {
    const now = statesOf(rows);
    add(now, -1);
    add(await statesAt(client, now, point.position), 1);
  }
  if (read < to) {
    for await (const rows of ask(EARLIER, Math.max(from, read), Math.min(to, Date.parse(point.recordedAt) + 1))) {
      const { true: changed = [], false: kept = [] } = Object.groupBy(rows, (row) => String(row.changed));
      add(statesOf(kept), 1);
      add(await statesAt(client, statesOf(changed), point.position), 1);
    }
  } else {
    for await (const rows of ask(LATER, Math.max(from, Date.parse(point.recordedAt)), to)) add(statesOf(rows), -1);
  }
  return sums.usage();
}

/** The same prompts at a position that none of them was submitted after. */
async function statesAt(db: Db, now: PromptState[], position: number): Promise<PromptState[]> {
  const ids = now.map(({ promptId }) => promptId);
  const streams = ids.length === 0 ? new Map<string, EventRow[]>() : await readBareStreams(db, ids, position);
  return now.map(({ promptId }) => {
    const state = fold((streams.get(promptId) ?? []).map(toEvent));
    if (!state) throw new Error(`the log has no event of prompt ${promptId} up to ${position}`);
    return state;
  });
}

/** Before they are read: what came later may be of a release that this one does not know. */
export const upTo = (rows: EventRow[], position: number): EventRow[] => rows.filter((row) => row.position <= position);

/** `changed`: of those submitted earlier in the bucket, since the point. */
type Found = StateRow & { changed?: boolean };
const statesOf = (rows: Found[]): PromptState[] => rows.map(unpackState);

async function* pages(
  client: pg.PoolClient,
  text: string,
  values: unknown[],
  signal: AbortSignal,
): AsyncGenerator<Found[]> {
  await client.query(`DECLARE looked_back NO SCROLL CURSOR FOR ${text}`, values);
  for (;;) {
    signal.throwIfAborted();
    const { rows } = await client.query<Found>(`FETCH ${PAGE} FROM looked_back`);
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE) break;
  }
  await client.query('CLOSE looked_back');
}

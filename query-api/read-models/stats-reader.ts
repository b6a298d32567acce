/** How sums are read: one statement where one is enough, else in one snapshot with the corrections of a look back. */
import pg from 'pg';
import type { UsageDelta } from '../../contracts/prompt/deltas.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { correctionsFor, endOfBucket, type Point, readUpTo } from './as-of.ts';
import type { ChosenVersion } from './chosen-version.ts';
import type { LiveModel } from './live-model.ts';
import type { ReadPool } from './reads.ts';
import { DAY_MS, floorTo, type Range } from './segments.ts';

export type Db = Pick<pg.Pool | pg.PoolClient, 'query'>;

export type EmulatedFilter = 'default' | 'only' | 'include';
/** Nulls stand for any; the range lies on quarters of an hour. */
export type StatsFilter = { userId: string | null; model: string | null; emulated: EmulatedFilter; range: Range };
/** `chosen`: what is read; null for what is served. `point`: where to look back to; null for now, and of one that was chosen. */
export type Question = {
  filter: StatsFilter;
  chosen: ChosenVersion | null;
  point: Point | null;
  signal: AbortSignal;
};
/** `version` and `prices` are those of the version that was chosen. */
export type StatsAnswer<T> = {
  data: T[];
  position: number;
  asOf: string | null;
  version?: number;
  prices?: string | null;
};

export type Reading = {
  db: Db;
  version: number;
  /** No further than the bucket looked back to. */
  range: Range;
  /** What is read of the sums of a range; the rest of it is among the corrections. */
  toRead: (range: Range) => Range;
  /** `range`, widened to whole days (UTC) as far as that bucket allows. */
  days: Range;
  /** Of prompts submitted in `range`; in `days` where these were asked for. */
  corrections: UsageDelta[];
  /** Outside of it nothing was submitted. */
  data: Extent;
  /** Rows of a statement; the cursor they came with is remembered. */
  rows: <Row>(text: string, values: unknown[]) => Promise<Row[]>;
  /** The same as lists, and bigints as text; of a statement whose first two columns are of the cursor, its first row alone has it. */
  lists: (text: string, values: unknown[]) => Promise<(string | null)[][]>;
};

/** For thousands of rows: nothing is made of a field that is written out again. */
const BIGINTS_AS_TEXT: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number) =>
    oid === pg.types.builtins.INT8
      ? (text: string) => text
      : pg.types.getTypeParser(oid)) as typeof pg.types.getTypeParser,
};

const FIRST_EVENT = readSql(import.meta.url, '../sql/first-event.sql');
const SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off';

/** Milliseconds: from the first event there was to a day from now. */
export type Extent = { from: number; to: number };

export type StatsReader = {
  extent: () => Promise<Extent>;
  /** `several`: more than one statement is needed, of one snapshot. */
  read: <T>(
    question: Question,
    how: { several?: boolean; inDays?: boolean },
    run: (reading: Reading) => Promise<T[]>,
  ) => Promise<StatsAnswer<T>>;
};

export function createStatsReader({ pool, live }: { pool: ReadPool; live: LiveModel }): StatsReader {
  /** Begins with the log, and never changes after that. */
  let firstAt: number | null = null;

  async function extent(): Promise<Extent> {
    if (firstAt === null) {
      const { rows } = await pool.query<{ recorded_at: string }>({ name: 'first-event', text: FIRST_EVENT });
      if (rows[0]) firstAt = Date.parse(rows[0].recorded_at);
    }
    const now = Date.now();
    return { from: firstAt ?? now, to: now + DAY_MS };
  }

  return {
    extent,
    read: async <T>(
      { filter, chosen, point, signal }: Question,
      { several = false, inDays = false }: { several?: boolean; inDays?: boolean },
      run: (reading: Reading) => Promise<T[]>,
    ) => {
      const data = await extent();
      const upToPoint = (of: Range) => (point ? cut(of, endOfBucket(point)) : of);
      const range = upToPoint(filter.range);
      const days = upToPoint(widen(range));
      let cursor: { position: number; as_of: string } | null = null;
      const answer = (db: Db, version: number, corrections: UsageDelta[]) =>
        run({
          db,
          version,
          range,
          toRead: (of) => (point ? cut(of, readUpTo(point)) : of),
          days,
          corrections,
          data,
          rows: async <Row>(text: string, values: unknown[]) => {
            type WithCursor = Row & { position: number; as_of: string };
            const { rows } = await db.query<WithCursor & object>({ text, values });
            cursor ??= rows[0] ?? null;
            return rows;
          },
          lists: async (text: string, values: unknown[]) => {
            type List = [position: string, asOf: string, ...row: (string | null)[]];
            const { rows } = await db.query<List>({ text, values, rowMode: 'array', types: BIGINTS_AS_TEXT });
            const first = rows.shift();
            if (first) cursor ??= { position: Number(first[0]), as_of: first[1] };
            return rows;
          },
        });
      const readVersion = (version: number) => {
        if (!point && !several) return answer(pool, version, []);
        return inTransaction(
          pool,
          async (client) => {
            const corrections = point
              ? await correctionsFor(client, version, point, filter, inDays ? days : range, signal)
              : [];
            return answer(client, version, corrections);
          },
          SNAPSHOT,
        );
      };
      const rows = await (chosen ? readVersion(chosen.version) : live.read(readVersion));
      const found = cursor as { position: number; as_of: string } | null;
      if (!found) throw new Error('the version of the projection has no cursor');
      if (!chosen) live.saw(found.position);
      if (point) return { data: rows, position: point.position, asOf: point.recordedAt };
      const at = { position: found.position, asOf: found.as_of === '-infinity' ? null : found.as_of };
      return chosen ? { data: rows, ...at, version: chosen.version, prices: chosen.prices } : { data: rows, ...at };
    },
  };
}

const cut = ({ from, to }: Range, end: number): Range => ({ from, to: Math.min(to ?? end, end) });

const widen = ({ from, to }: Range): Range => ({
  from: from === null ? null : floorTo(from, DAY_MS),
  to: to === null ? null : floorTo(to + DAY_MS - 1, DAY_MS),
});

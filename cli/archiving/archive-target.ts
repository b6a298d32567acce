/** Up to where the log may be archived. */
import type pg from 'pg';
import { ArchiveError } from '../../platform/archive/archive-error.ts';
import type { LogBounds } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';

const AGE = readSql(import.meta.url, 'sql/age-of-event.sql');
const HINDERING = readSql(import.meta.url, 'sql/hindering-version.sql');

/** Exclusive: events at earlier positions, or recorded earlier (RFC 3339). */
export type Before = { position: number } | { time: string };

/** The floor there shall be; the one there is when nothing more is asked for. Throws `ArchiveError`. */
export async function targetOf(
  pool: pg.Pool,
  before: Before,
  { head, floor }: LogBounds,
  keepSeconds: number,
): Promise<number> {
  const wanted = 'position' in before ? before.position - 1 : await lastBefore(pool, before.time);
  const target = Math.max(floor, wanted);
  if (target > head) throw new ArchiveError(`The log ends at position ${head}.`);
  if (target === floor) return floor;
  const { rows } = await pool.query<{ recordedAt: string; young: boolean }>(AGE, [target, keepSeconds]);
  const [last] = rows;
  if (!last) throw new ArchiveError(`Position ${target} is missing from the log.`);
  if (last.young)
    throw new ArchiveError(
      `Position ${target} was recorded at ${last.recordedAt}: what is younger than ${keepSeconds / 60} minutes stays.`,
    );
  await checkReaders(pool, target);
  return target;
}

async function lastBefore(pool: pg.Pool, time: string): Promise<number> {
  const justBefore = new Date(Date.parse(time) - 1).toISOString(); // events are recorded at whole milliseconds
  const { rows } = await pool.query<{ position: number | null }>('SELECT position_at_v2($1) AS position', [justBefore]);
  return rows[0]?.position ?? 0;
}

/** Read models that are kept up to date have passed `target`, and none is being built. raise_floor_v1 looks again. */
async function checkReaders(pool: pg.Pool, target: number): Promise<void> {
  type Row = { name: string; version: number; status: string; position: number; frozen: boolean };
  const { rows } = await pool.query<Row>(HINDERING, [target]);
  const [row] = rows;
  if (!row) return;
  const what = `Version ${row.version} of ${row.name}`;
  const drop = `"npm run replay -- --drop ${row.version}"`;
  throw new ArchiveError(
    row.status === 'building'
      ? row.frozen
        ? `${what}, which is to be kept apart, is not whole yet: ask for it once more, or drop it: ${drop}.`
        : `${what} is not whole yet: run "npm run replay" to its end, or drop it: ${drop}.`
      : `${what} has not folded the log up to position ${target} yet, it is at ${row.position}: is a projector running?`,
  );
}

/** Throws `ArchiveError` when the log has none there. */
export async function eventIdAt(db: Pick<pg.Pool, 'query'>, position: number): Promise<string> {
  const text = 'SELECT event_id FROM event WHERE position = $1';
  const { rows } = await db.query<{ event_id: string }>(text, [position]);
  if (!rows[0]) throw new ArchiveError(`Position ${position} is missing from the log.`);
  return rows[0].event_id;
}

/** The log as text, for an archive. */
import type pg from 'pg';
import { LogGapError } from './read.ts';
import { readSql } from './sql-file.ts';

const READ_LINES = readSql(import.meta.url, 'sql/read-lines.sql');

export type LogLine = {
  position: number;
  event_id: string;
  type: string;
  schema_version: number;
  recorded_at: string;
  /** JSON without line ends. */
  line: string;
};

/** Lines with `after < position ≤ upTo`; throws `LogGapError` when one is missing. `after` is the floor or above it. */
export async function readLines(
  db: Pick<pg.Pool, 'query'>,
  after: number,
  limit: number,
  upTo: number,
): Promise<LogLine[]> {
  const { rows } = await db.query<LogLine>({ name: 'read-lines', text: READ_LINES, values: [after, upTo, limit] });
  const at = rows.findIndex(({ position }, i) => position !== after + 1 + i);
  if (at !== -1 || (rows.length === 0 && after < upTo))
    throw new LogGapError(`position ${after + 1 + Math.max(0, at)} is missing from the log`);
  return rows;
}

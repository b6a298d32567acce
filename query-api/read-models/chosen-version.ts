/** A version of the read model that is read in place of the one that is served, as one with other prices. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';

export type ChosenVersion = {
  version: number;
  /** Null: those that were charged. */
  prices: string | null;
  /** When the last event folded in was recorded; null before the first. */
  asOf: string | null;
};

const CHOSEN_VERSION = readSql(import.meta.url, '../sql/chosen-version.sql');

/** `db`: where it will be read. A replica may not have yet what the primary has. */
export async function findVersion(
  db: Pick<pg.Pool, 'query'>,
  version: number,
): Promise<ChosenVersion | 'unknown' | 'unfinished'> {
  type Row = { prices: string | null; is_whole: boolean; as_of: string };
  const { rows } = await db.query<Row>({ name: 'chosen-version', text: CHOSEN_VERSION, values: [version] });
  const [row] = rows;
  if (!row) return 'unknown';
  if (!row.is_whole) return 'unfinished';
  return { version, prices: row.prices, asOf: row.as_of === '-infinity' ? null : row.as_of };
}

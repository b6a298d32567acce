/** How the last rebuild has ended, whichever process did it: one that failed is over when any later one ends otherwise. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { RebuildOutcome } from './job.ts';

const LAST = readSql(import.meta.url, 'sql/last-outcome.sql');

/** Null before any has ended. */
export async function readLastOutcome(pool: Pick<pg.Pool, 'query'>): Promise<RebuildOutcome | null> {
  const { rows } = await pool.query<{ outcome: RebuildOutcome }>({ name: 'last-outcome', text: LAST });
  return rows[0]?.outcome ?? null;
}

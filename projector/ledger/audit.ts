/** The ledger invariant of the read models, checked while they serve. */
import type pg from 'pg';
import { readSql } from '../platform/postgres/sql-file.ts';
import { forVersion, PROMPTS } from './projection-store.ts';

const MISMATCH = readSql(import.meta.url, 'sql/ledger-mismatch.sql');

/** Both are 0 as long as the sums are right. */
export async function ledgerMismatch(pool: pg.Pool): Promise<{ nanoUsd: number; prompts: number }> {
  const live = 'SELECT version FROM live_projection WHERE name = $1';
  const { rows } = await pool.query<{ version: number }>(live, [PROMPTS]);
  const version = rows[0]?.version;
  if (version === undefined) return { nanoUsd: 0, prompts: 0 };
  const found = await pool.query<{ nano_usd: string; prompts: string }>(forVersion(MISMATCH, version));
  return { nanoUsd: Number(found.rows[0]?.nano_usd ?? 0), prompts: Number(found.rows[0]?.prompts ?? 0) };
}

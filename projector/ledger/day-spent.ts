/**
 * What the last 24 hours have cost, added up from the ledger's entries each time. An entry is counted once, with what is
 * known of it now: a bound that became known, a late cost and a correction replace what stood there. Counters of a process
 * cannot tell that, and lose what came before their first scrape.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { DaySpent } from '../../platform/telemetry/instruments/projector.ts';
import type { Account } from './audit.ts';

const DAY_SPENT = readSql(import.meta.url, 'sql/day-spent.sql');
/** Null before the log's first event, or where all of it is younger. */
const SINCE = "SELECT position_at_v1(now() - interval '24 hours') AS position";
const ACCOUNTS: readonly Account[] = ['reserved', 'confirmed', 'wasted', 'unknown'];

type Row = { account: Account; emulated: boolean; nano_usd: string };

/** All accounts, also those with nothing in them. */
export async function readDaySpent(pool: Pick<pg.Pool, 'query'>): Promise<(DaySpent & { account: Account })[]> {
  const since = await pool.query<{ position: number | null }>(SINCE);
  // Without a name: planned for how many entries a day has now.
  const { rows } = await pool.query<Row>(DAY_SPENT, [since.rows[0]?.position ?? 0]);
  return ACCOUNTS.flatMap((account) =>
    [false, true].map((emulated) => {
      const found = rows.find((row) => row.account === account && row.emulated === emulated);
      return { account, emulated, nanoUsd: Number(found?.nano_usd ?? 0) };
    }),
  );
}

/** Entries of the ledger, one for each attempt: what it cost, and how sure that is. */
import type pg from 'pg';
import type { LedgerEntry } from '../../contracts/http/queries.ts';
import { amount } from '../../contracts/money.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';

/** Nulls stand for any. `from` is inclusive, `to` exclusive, both RFC 3339, of the attempt's start. */
export type LedgerFilter = {
  userId: string | null;
  model: string | null;
  state: LedgerEntry['state'] | null;
  promptId: string | null;
  from: string | null;
  to: string | null;
};

type Row = {
  position: number;
  prompt_id: string | null;
  attempt: number;
  user_id: string;
  model: string;
  state: LedgerEntry['state'];
  nano_usd: number | null;
  bound_nano_usd: number | null;
  price_version: string | null;
  emulated: boolean;
  corrected: boolean;
  reserved_position: number;
  reserved_at: string;
  settled_position: number | null;
  settled_at: string | null;
};

const LEDGER = readSql(import.meta.url, '../sql/ledger.sql');

export async function readLedger(
  db: Pick<pg.Pool | pg.PoolClient, 'query'>,
  { userId, model, state, promptId, from, to }: LedgerFilter,
  page: { after: number | null; limit: number },
): Promise<{ data: LedgerEntry[]; next: number | null; position: number }> {
  const values = [userId, model, state, promptId, from, to, page.after, page.limit + 1]; // one more: is there a next page?
  const { rows } = await db.query<Row>({ text: LEDGER, values });
  const position = rows[0]?.position ?? 0;
  const found = rows.filter((row) => row.prompt_id !== null);
  const shown = found.slice(0, page.limit);
  const next = found.length > page.limit ? (shown.at(-1)?.reserved_position ?? null) : null;
  return { data: shown.map(toEntry), next, position };
}

const toEntry = (row: Row): LedgerEntry => ({
  promptId: row.prompt_id!,
  attempt: row.attempt,
  userId: row.user_id,
  model: row.model,
  state: row.state,
  cost: row.nano_usd === null ? null : amount(row.nano_usd),
  bound: row.bound_nano_usd === null ? null : amount(row.bound_nano_usd),
  priceVersion: row.price_version,
  notional: row.emulated,
  corrected: row.corrected,
  reservedAt: row.reserved_at,
  settledAt: row.settled_at,
  position: row.settled_position ?? row.reserved_position,
});

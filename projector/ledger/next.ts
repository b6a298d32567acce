/**
 * A ledger that is made beside the one that is served (migrations/22_ledger_beside.sql). For one who holds the lock of
 * rebuilds: nobody else writes it, and nothing is archived in between.
 */
import type pg from 'pg';
import type { LogArchive } from '../../platform/archive/open-archive.ts';
import { asLogin } from '../../platform/postgres/as-login.ts';
import { copyRows } from '../../platform/postgres/copy.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';

const DIFFERENCES = readSql(import.meta.url, 'sql/differences.sql');
const POST = 'SELECT post_ledger_v3($1, true) AS position';
/** Held in memory at a time, with everybody's words. */
const ARCHIVED_AT_ONCE = 500;
/** Positions of the log. */
const COMPARED_AT_ONCE = 50_000;
const SHOWN = 10;

export type LedgerDifference = {
  what: 'entry' | 'account';
  /** Of an entry; null of an account. */
  promptId: string | null;
  attempt: number | null;
  userId: string;
  model: string;
  nanoUsd: number;
  /** Column → what is served, and what the log gives; null where there is no such entry or account. */
  fields: Record<string, [served: unknown, log: unknown]>;
};

export type LedgerComparison = {
  /** Of both. */
  position: number;
  entries: number;
  entriesNanoUsd: number;
  accounts: number;
  accountsNanoUsd: number;
  /** The largest first, of entries and accounts together. */
  largest: LedgerDifference[];
};

/** What another process has left is taken up, unless `anew`; resolves to where it stands. */
export async function beginNext(pool: pg.Pool, anew: boolean): Promise<number> {
  const { rows } = await pool.query<{ position: number }>('SELECT begin_ledger_next_v1($1) AS position', [anew]);
  return rows[0]!.position;
}

export const dropNext = async (pool: pg.Pool): Promise<void> => void (await pool.query('SELECT drop_ledger_next_v1()'));

/** Posts the events with `from < position ≤ to`, or the first of them; resolves to where it stands then. */
export async function postNext(pool: pg.Pool, archive: LogArchive | null, from: number, to: number): Promise<number> {
  if (archive && from < archive.floor) return postArchived(pool, archive, from, Math.min(to, archive.floor));
  return post(pool, to);
}

async function post(db: Pick<pg.Pool | pg.PoolClient, 'query'>, to: number): Promise<number> {
  const { rows } = await db.query<{ position: number }>(POST, [to]);
  return rows[0]!.position;
}

/** By the same function: it reads them from a table beside, which only the login that migrates may write. */
const postArchived = (pool: pg.Pool, archive: LogArchive, from: number, to: number): Promise<number> =>
  asLogin(pool, async (client) => {
    await client.query('TRUNCATE ledger_event_next');
    for (let at = from; at < to; ) {
      const rows = await archive.read(at, Math.min(ARCHIVED_AT_ONCE, to - at), to);
      const events = rows.map(({ position, stream_id, type, data, recorded_at }) => ({
        position,
        stream_id,
        type,
        data,
        recorded_at,
      }));
      await copyRows(client, 'ledger_event_next', events);
      at = rows.at(-1)!.position;
    }
    return post(client, to);
  });

/**
 * Both at where the served one stands when this begins, in one snapshot: who posts meanwhile changes nothing in it.
 * `onShare`: how much is compared by now, 0 to 1.
 */
export const compareNext = (
  pool: pg.Pool,
  onShare: (share: number, position: number) => void,
): Promise<LedgerComparison> =>
  inTransaction(
    pool,
    async (client) => {
      const position = await post(client, await readServed(client));
      onShare(0, position);
      let after: number | null = null;
      do {
        const to: number | null = (after ?? 0) + COMPARED_AT_ONCE < position ? (after ?? 0) + COMPARED_AT_ONCE : null;
        await client.query('SELECT compare_ledger_next_v1($1, $2)', [after, to]);
        after = to;
        onShare((after ?? position) / Math.max(1, position), position);
      } while (after !== null);
      await client.query('SELECT compare_ledger_accounts_next_v1()');
      return { position, ...(await readDifferences(client)) };
    },
    'BEGIN ISOLATION LEVEL REPEATABLE READ',
  );

/** Up to where the ledger is posted that is served. */
export async function readServed(db: Pick<pg.Pool | pg.PoolClient, 'query'>): Promise<number> {
  const { rows } = await db.query<{ position: number }>('SELECT position FROM ledger_head');
  return rows[0]!.position;
}

type Row = Pick<LedgerDifference, 'what' | 'attempt' | 'model' | 'fields'> & {
  prompt_id: string | null;
  user_id: string;
  nano_usd: string;
  entries: number;
  accounts: number;
  entries_nano_usd: string;
  accounts_nano_usd: string;
};

async function readDifferences(client: pg.PoolClient): Promise<Omit<LedgerComparison, 'position'>> {
  const { rows } = await client.query<Row>(DIFFERENCES, [SHOWN]);
  const [first] = rows;
  return {
    entries: first?.entries ?? 0,
    entriesNanoUsd: Number(first?.entries_nano_usd ?? 0),
    accounts: first?.accounts ?? 0,
    accountsNanoUsd: Number(first?.accounts_nano_usd ?? 0),
    largest: rows.map(({ what, prompt_id, attempt, user_id, model, nano_usd, fields }) => ({
      what,
      promptId: prompt_id,
      attempt,
      userId: user_id,
      model,
      nanoUsd: Number(nano_usd),
      fields,
    })),
  };
}

/**
 * The ledger invariant, checked while everything runs: the sums of the served read models equal those of the ledger, which
 * is posted from the same events by other code (migrations/22_ledger_beside.sql), for each user and model, at one position. Of
 * the levels and tables that answers are read from, a span drawn at random is compared each time, with histograms of latencies
 * and the users of each model.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { sqlState } from '../../platform/postgres/sqlstate.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { forVersion, PROMPTS } from '../projection-store.ts';

const AUDIT = readSql(import.meta.url, 'sql/audit.sql');
const AUDIT_LATENCY = readSql(import.meta.url, 'sql/audit-latency.sql');
const AUDIT_REAL_USE = readSql(import.meta.url, 'sql/audit-real-use.sql');
const AUDIT_TOKENS = readSql(import.meta.url, 'sql/audit-tokens.sql');
const POST = 'SELECT post_ledger_v3($1) AS position';
/** Posted in one statement. */
const EVENTS_AT_ONCE = 5_000;

const LEVELS = 6;

export type Difference = {
  what:
    | 'account'
    | 'user'
    | 'model'
    | 'span'
    | 'model_span'
    | 'tokens'
    | 'latency'
    | 'model_latency'
    | 'model_user'
    | 'real_use';
  /** Of the span, see migrations/9_rollups.sql; null of an account. */
  level: number | null;
  bucket: string | null;
  userId: string | null;
  model: string | null;
  /** Null: on both sides together. */
  emulated: boolean | null;
  /** How many more or fewer; 1 where as many are counted under other statuses. */
  prompts: number;
  nanoUsd: number;
  tokens: number;
  /** Attempts of which nobody knows the cost. */
  unknownAttempts: number;
  /** Of `model_user`: who is counted among a model's users and has no prompt, or has one and is not. */
  users: number;
};
export type Account = 'reserved' | 'confirmed' | 'wasted' | 'unknown';
export type Audit = {
  /** At which both were compared. */
  position: number;
  /** Sums that differ, and by how much in all; 0 as long as they are right. */
  sums: number;
  prompts: number;
  nanoUsd: number;
  /** The largest first. */
  largest: Difference[];
  /** Of the ledger, in nano-USD. */
  totals: Record<Account, number>;
};

type Row = Pick<Difference, 'what' | 'level' | 'bucket' | 'model' | 'emulated'> & {
  user_id: string | null;
  prompts: string;
  nano_usd: string;
  tokens: string;
  attempts: string;
  differ: number;
  all_prompts: string;
  all_nano_usd: string;
};

/** Up to where the served read models are. */
export async function postLedger(pool: pg.Pool, signal?: AbortSignal): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    const { served, posted } = await standing(pool);
    if (served <= posted) return;
    await pool.query(POST, [Math.min(served, posted + EVENTS_AT_ONCE)]);
  }
}

/**
 * Null: another process is at it, or the served version has just changed. The next time tells. `random` draws which level is
 * looked at closely, then which span of it; of a quarter of an hour, whose tokens are counted from the events: 0 ≤ x < 1.
 */
export async function auditLedger(
  pool: pg.Pool,
  { signal, random = Math.random }: { signal?: AbortSignal; random?: () => number } = {},
): Promise<Audit | null> {
  await postLedger(pool, signal);
  try {
    return await inTransaction(pool, (client) => compare(client, random), 'BEGIN ISOLATION LEVEL REPEATABLE READ');
  } catch (error) {
    if (sqlState(error) === SERIALIZATION_FAILURE) return null;
    throw error;
  }
}
/** Somebody else posted after this snapshot was taken. */
const SERIALIZATION_FAILURE = '40001';

/** In one snapshot: a projector that goes on meanwhile changes nothing in it. */
async function compare(client: pg.PoolClient, random: () => number): Promise<Audit | null> {
  const { version, served } = await standing(client);
  const { rows } = await client.query<{ position: number }>(POST, [served]);
  if (rows[0]?.position !== served) return null;
  const [level, place] = [Math.floor(random() * LEVELS), random()];
  const found = await client.query<Row>(forVersion(AUDIT, version), [level, place]);
  const marked = await compareLatency(client, version, [level, place]);
  const misplaced = await lookAtRealUse(client, version);
  const uncounted = level === 0 ? await countTokens(client, version, [served, place, random()]) : [];
  const totals = await client.query<Record<Account, string>>(TOTALS);
  const [first] = found.rows;
  const { reserved = 0, confirmed = 0, wasted = 0, unknown = 0 } = totals.rows[0] ?? {};
  return {
    position: served,
    sums: (first?.differ ?? 0) + marked.differ + misplaced.length + uncounted.length,
    prompts: Number(first?.all_prompts ?? 0),
    nanoUsd: Number(first?.all_nano_usd ?? 0),
    largest: [...found.rows.map(toDifference), ...marked.differences, ...misplaced, ...uncounted],
    totals: {
      reserved: Number(reserved),
      confirmed: Number(confirmed),
      wasted: Number(wasted),
      unknown: Number(unknown),
    },
  };
}

type Told = Omit<Row, 'attempts' | 'differ' | 'all_prompts' | 'all_nano_usd'> & { attempts?: string; users?: string };

const toDifference = (row: Told): Difference => ({
  what: row.what,
  level: row.level,
  bucket: row.bucket,
  userId: row.user_id,
  model: row.model,
  emulated: row.emulated,
  prompts: Number(row.prompts),
  nanoUsd: Number(row.nano_usd),
  tokens: Number(row.tokens),
  unknownAttempts: Number(row.attempts ?? 0),
  users: Number(row.users ?? 0),
});

type LatencyRow = Pick<Row, 'what' | 'bucket' | 'user_id' | 'model' | 'emulated' | 'prompts' | 'differ'> & {
  users: string;
};

async function compareLatency(
  client: pg.PoolClient,
  version: number,
  [level, place]: [level: number, place: number],
): Promise<{ differ: number; differences: Difference[] }> {
  const { rows } = await client.query<LatencyRow>(forVersion(AUDIT_LATENCY, version), [level, place]);
  const differences = rows.map((row) => toDifference({ ...row, level, nano_usd: '0', tokens: '0' }));
  return { differ: rows[0]?.differ ?? 0, differences };
}

/** All of emulated prompts is shown or left out by it. */
async function lookAtRealUse(client: pg.PoolClient, version: number): Promise<Difference[]> {
  const { rows } = await client.query(forVersion(AUDIT_REAL_USE, version));
  const nothing = { level: null, bucket: null, user_id: null, model: null, emulated: null };
  return rows.map(() => toDifference({ ...nothing, what: 'real_use', prompts: '0', nano_usd: '0', tokens: '0' }));
}

type TokensRow = Pick<Row, 'bucket' | 'user_id' | 'model' | 'emulated' | 'tokens' | 'attempts'>;

async function countTokens(client: pg.PoolClient, version: number, values: number[]): Promise<Difference[]> {
  const { rows } = await client.query<TokensRow>(forVersion(AUDIT_TOKENS, version), values);
  return rows.map((row) => toDifference({ ...row, what: 'tokens', level: 0, prompts: '0', nano_usd: '0' }));
}

const TOTALS = `SELECT coalesce(sum(reserved_nano_usd), 0) AS reserved, coalesce(sum(confirmed_nano_usd), 0) AS confirmed,
       coalesce(sum(wasted_nano_usd), 0) AS wasted, coalesce(sum(unknown_bound_nano_usd), 0) AS unknown FROM ledger_account`;

async function standing(
  db: Pick<pg.Pool | pg.PoolClient, 'query'>,
): Promise<{ version: number; served: number; posted: number }> {
  const { rows } = await db.query<{ version: number; served: number; posted: number }>(
    'SELECT p.version, p.position AS served, l.position AS posted FROM live_projection p, ledger_head l WHERE p.name = $1',
    [PROMPTS],
  );
  if (!rows[0]) throw new Error(`no version of ${PROMPTS} is served`);
  return rows[0];
}

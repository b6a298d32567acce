/** The log that is measured and copied: made by the product's own rebuild and posting, and agreed on by its own audit. */
import pg from 'pg';
import { createPool } from '../../../platform/postgres/pool.ts';
import { auditLedger } from '../../../projector/ledger/audit.ts';
import { rebuild } from '../../../projector/rebuild/rebuild.ts';
import { dropVersion } from '../../../projector/rebuild/versions.ts';
import { populate } from '../population.ts';

export type BaseOptions = {
  uri: string;
  prompts: number;
  users: number;
  days: number;
  /** Every user asks as much as any other, nobody more than once in a conversation. */
  evenly?: boolean;
};

const CONVERSATION = 5;

/** Of an empty, migrated database. Leaves one version of the read models, and statistics. */
export async function makeBase({ uri, prompts, users, days, evenly = false }: BaseOptions): Promise<void> {
  const conversation = evenly ? 1 : CONVERSATION;
  await populate({ uri, prompts, users, days, evenly, conversation, readModels: false });
  const { outcome, former } = await rebuild({ uri, dryRun: false, lanes: 2, onProgress: () => {} });
  if (outcome !== 'switched') throw new Error('the rebuild differs from what the projection folds');
  await withPool(uri, async (pool) => {
    await dropVersion(pool, former);
    const audit = await auditLedger(pool);
    if (audit?.sums !== 0) throw new Error(`the ledger disagrees with the read models: ${JSON.stringify(audit)}`);
  });
  await asOwner(uri, 'VACUUM (FREEZE, ANALYZE)');
}

/** `days` after the first event. */
export async function daysIn(uri: string, days: number): Promise<string> {
  const [first] = await asOwner<{ at: string }>(
    uri,
    `SELECT to_char(recorded_at + $1 * interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at FROM event WHERE position = 1`,
    [days],
  );
  return first!.at;
}

/** With a services' role. */
export async function withPool<T>(uri: string, work: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const pool = createPool({
    uri,
    name: 'bench',
    max: 4,
    statementTimeoutMs: 600_000,
    transactionTimeoutMs: 600_000,
    onError: () => {}, // of idle connections; a statement that needs one rejects by itself
  });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

export async function asOwner<R extends pg.QueryResultRow>(
  uri: string,
  text: string,
  values: unknown[] = [],
): Promise<R[]> {
  const client = new pg.Client({ connectionString: uri, options: '-c timezone=UTC' });
  client.on('error', () => {}); // the statement rejects by itself
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

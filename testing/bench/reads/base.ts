/** The log that is measured and copied: made by the product's own rebuild and posting, and agreed on by its own comparison and audit. */
import pg from 'pg';
import { createPool } from '../../../platform/postgres/pool.ts';
import { auditLedger } from '../../../projector/ledger/audit.ts';
import { remakeLedger } from '../../../projector/ledger/remake.ts';
import { rebuild } from '../../../projector/rebuild/rebuild.ts';
import { dropVersion } from '../../../projector/rebuild/versions.ts';
import { populate } from '../population.ts';

export type BaseOptions = { uri: string; prompts: number; users: number; days: number };

const CONVERSATION = 5;

/** Of an empty, migrated database. Leaves one version of the read models, and statistics. */
export async function makeBase({ uri, prompts, users, days }: BaseOptions): Promise<void> {
  await populate({ uri, prompts, users, days, conversation: CONVERSATION, readModels: false });
  const { outcome, former } = await rebuild({ uri, dryRun: false, lanes: 2, onProgress: () => {} });
  if (outcome !== 'switched') throw new Error('the rebuild differs from what the projection folds');
  await withPool(uri, async (pool) => {
    await dropVersion(pool, former);
    const audit = await auditLedger(pool);
    if (audit?.sums !== 0) throw new Error(`the ledger disagrees with the read models: ${JSON.stringify(audit)}`);
  });
  await asOwner(uri, 'VACUUM (FREEZE, ANALYZE)');
}

export type Checked = {
  /** Tables of the read models that are not what a rebuild makes of the log. */
  differing: string[];
  /** Sums of the read models that are not those of the ledger. */
  sums: number;
  /** The ledger is what is posted from the log. */
  ledgerIsPosted: boolean;
};

/** What was multiplied beside what the product makes of the same log. */
export async function checkMultiplied(uri: string): Promise<Checked> {
  const { equal, differing } = await rebuild({ uri, dryRun: true, lanes: 2, onProgress: () => {} });
  return withPool(uri, async (pool) => {
    const audit = await auditLedger(pool);
    const remade = await remakeLedger(pool, { dryRun: true, onProgress: () => {} });
    return {
      differing: equal === false && differing.length === 0 ? ['unknown'] : differing,
      sums: audit?.sums ?? Number.NaN,
      ledgerIsPosted: remade.outcome === 'equal',
    };
  });
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

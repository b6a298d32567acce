/** The ledger made anew from the log. */
import type pg from 'pg';
import { readBounds } from '../../platform/postgres/read.ts';
import { RebuildError } from '../rebuild/refused.ts';
import { auditLedger, postLedger } from './audit.ts';

export type Reposted = { position: number; sums: number };

/**
 * Readers see it grow meanwhile. For one who holds the lock of rebuilds, so that nothing is archived in between. Throws
 * `RebuildError` when the log does not begin at its beginning, and changes nothing then.
 */
export async function repostLedger(pool: pg.Pool): Promise<Reposted> {
  const { floor } = await readBounds(pool);
  if (floor > 0)
    throw new RebuildError(
      `Events up to position ${floor} are archived, and the ledger is posted from the whole log: it stays as it is.`,
    );
  await pool.query('SELECT reset_ledger_v1()');
  for (;;) {
    await postLedger(pool);
    const audit = await auditLedger(pool);
    if (audit) return { position: audit.position, sums: audit.sums };
  }
}

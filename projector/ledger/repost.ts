/** The ledger made anew from the log. */
import type pg from 'pg';
import { auditLedger, postLedger } from './audit.ts';

export type Reposted = { position: number; sums: number };

/** Readers see it grow meanwhile. Throws when the log does not begin at its beginning, and changes nothing then. */
export async function repostLedger(pool: pg.Pool): Promise<Reposted> {
  await pool.query('SELECT reset_ledger_v1()');
  for (;;) {
    await postLedger(pool);
    const audit = await auditLedger(pool);
    if (audit) return { position: audit.position, sums: audit.sums };
  }
}

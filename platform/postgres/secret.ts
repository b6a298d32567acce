import type pg from 'pg';
import { patiently } from './patiently.ts';

/** The deployment's secret, made with its database and shared by all replicas; keys are derived from it, one per purpose. */
export async function readSecret(pool: pg.Pool): Promise<Buffer> {
  const text = `SELECT value FROM secret WHERE name = 'idempotency'`;
  const { rows } = await patiently(() => pool.query<{ value: Buffer }>(text));
  const [row] = rows;
  if (!row) throw new Error('the secret "idempotency" is missing: the migrations did not run to their end');
  return row.value;
}

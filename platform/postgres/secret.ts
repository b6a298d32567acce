import type pg from 'pg';

/** The deployment's secret, made with its database and shared by all replicas; keys are derived from it, one per purpose. */
export async function readSecret(pool: pg.Pool): Promise<Buffer> {
  const { rows } = await pool.query<{ value: Buffer }>(`SELECT value FROM secret WHERE name = 'idempotency'`);
  const [row] = rows;
  if (!row) throw new Error('the secret "idempotency" is missing: the migrations did not run to their end');
  return row.value;
}

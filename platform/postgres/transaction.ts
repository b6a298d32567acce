/** One transaction on a connection of its own. */
import type pg from 'pg';
import { isConnectionLoss } from './sqlstate.ts';

/** Whatever `work` throws is thrown again, after a rollback; a connection that broke is not used any more. */
export async function inTransaction<T>(
  pool: Pick<pg.Pool, 'connect'>,
  work: (client: pg.PoolClient) => Promise<T>,
  begin = 'BEGIN',
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    broken = error as Error;
    if (!isConnectionLoss(error)) {
      await client.query('ROLLBACK');
      broken = undefined;
    }
    throw error;
  } finally {
    client.release(broken);
  }
}

/** What only the login that migrates may do: everything else is done as the services' role, whoever has logged in. */
import type pg from 'pg';
import { sqlState } from './sqlstate.ts';
import { inTransaction } from './transaction.ts';

/** In one transaction, as whoever logged in. */
export const asLogin = <T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> =>
  inTransaction(pool, work, 'BEGIN; SET LOCAL ROLE NONE');

/** Whether the login may archive the log; then it may write what is posted from an archive, too. */
export async function mayArchive(pool: pg.Pool): Promise<boolean> {
  return asLogin(pool, async (client) => {
    const text = "SELECT has_function_privilege('raise_floor_v1(bigint, uuid)', 'EXECUTE') AS allowed";
    return (await client.query<{ allowed: boolean }>(text)).rows[0]!.allowed;
  }).catch((error: unknown) => {
    if (sqlState(error) === '42501') return false;
    throw error;
  });
}

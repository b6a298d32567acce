import { setTimeout } from 'node:timers/promises';
import { migrate } from 'postgres-migrations';
import { openClient, type SingleClient } from './client.ts';

/** Nothing is known of a file's size: an index of a large table takes its time. Beyond this nobody is there any more. */
const MIGRATION_TIMEOUT_MS = 6 * 3_600_000;
/** The lock of postgres-migrations, which the same session may take again. */
const LOCK = '-8525285245963000605';
const ASK_EVERY_MS = 200;

/** Applies the folder's files in order; returns the names of those that were new. Safe to run twice at once. */
export async function applyMigrations(uri: string, folder: string): Promise<string[]> {
  const client = await openClient({
    uri,
    name: 'migrate',
    connectTimeoutMs: 10_000,
    statementTimeoutMs: MIGRATION_TIMEOUT_MS,
  });
  try {
    // Asked for again and again: an index that another one builds would wait for whoever waits in a statement.
    while (!(await isTrue(client, `SELECT pg_try_advisory_lock(${LOCK}) AS is`))) await setTimeout(ASK_EVERY_MS);
    await dropBrokenIndexes(client);
    const applied = await migrate({ client: client.client }, folder);
    await client.query('GRANT SELECT ON migrations TO prompt_app');
    return applied.map((migration) => migration.fileName);
  } finally {
    await client.end(); // and with it the lock
  }
}

/** What a build that was broken off has left under an index's name, where IF NOT EXISTS would find it. */
async function dropBrokenIndexes(client: SingleClient): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'`,
  );
  for (const { name } of rows) await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
}

async function isTrue(client: SingleClient, text: string): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>(text);
  return rows[0]?.is === true;
}

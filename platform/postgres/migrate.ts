import { migrate } from 'postgres-migrations';
import { openClient } from './client.ts';

/** Nothing is known of a file's size: an index of a large table takes its time. Beyond this nobody is there any more. */
const MIGRATION_TIMEOUT_MS = 6 * 3_600_000;

/** Applies the folder's files in order; returns the names of those that were new. Safe to run twice at once. */
export async function applyMigrations(uri: string, folder: string): Promise<string[]> {
  const client = await openClient({
    uri,
    name: 'migrate',
    connectTimeoutMs: 10_000,
    statementTimeoutMs: MIGRATION_TIMEOUT_MS,
  });
  try {
    const applied = await migrate({ client: client.client }, folder);
    await client.query('GRANT SELECT ON migrations TO prompt_app');
    return applied.map((migration) => migration.fileName);
  } finally {
    await client.end();
  }
}

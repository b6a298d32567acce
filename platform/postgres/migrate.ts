import pg from 'pg';
import { migrate } from 'postgres-migrations';

/** Applies the folder's files in order; returns the names of those that were new. Safe to run twice at once. */
export async function applyMigrations(uri: string, folder: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: uri, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const applied = await migrate({ client }, folder);
    await client.query('GRANT SELECT ON migrations TO prompt_app');
    return applied.map((migration) => migration.fileName);
  } finally {
    await client.end();
  }
}

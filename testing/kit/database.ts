/** A database of its own for a test file, cloned from the migrated template; leaked connections fail the test. */
import pg from 'pg';
import '../../platform/postgres/pool.ts';
import { required } from './environment.ts';
import { databaseUri, TEMPLATE } from './servers.ts';

export type After = { after: (fn: () => Promise<void>) => void };
export type TestDatabase = { uri: string; pool: pg.Pool };

let count = 0;

/** `pool` logs in as the owner: it may do what no service may. Cleanup runs after that of everything opened later. */
export async function createTestDatabase(t: After): Promise<TestDatabase> {
  const server = required('TEST_POSTGRES_URI');
  count += 1;
  const name = `test_${process.pid}_${count}`;
  await admin(server, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  const uri = databaseUri(server, name);
  const pool = new pg.Pool({ connectionString: uri, max: 5, options: '-c timezone=UTC' });
  pool.on('error', () => {}); // tests end backends on purpose; queries in flight report it
  t.after(async () => {
    await pool.end();
    const leaked = await dropDatabase(server, name);
    if (leaked.length > 0) throw new Error(`connections left open: ${JSON.stringify(leaked)}`);
  });
  return { uri, pool };
}

/**
 * The connections that somebody left open. A pool says that it is at its end a moment before its connections are, and what is
 * ended by force then is an error that nobody hears.
 */
export async function dropDatabase(server: string, name: string): Promise<unknown[]> {
  const left = `SELECT application_name, left(query, 80) AS query FROM pg_stat_activity WHERE datname = '${name}'`;
  const deadline = performance.now() + 5_000;
  let leaked = await admin(server, left);
  while (leaked.length > 0 && performance.now() < deadline) leaked = await admin(server, left);
  await admin(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  return leaked;
}

async function admin(uri: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

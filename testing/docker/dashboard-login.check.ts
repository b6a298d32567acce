/** The login that compose makes for Grafana, on a real PostgreSQL. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { sqlState } from '../../platform/postgres/sqlstate.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { readText } from './compose-file.ts';

const t = cleanup(after);
const INSUFFICIENT_PRIVILEGE = '42501';
const INVALID_PASSWORD = '28P01';
let database: TestDatabase;

/** As psql with `--set password=…` does. */
const makeLogin = (password: string) =>
  database.pool.query(
    readText('deployment/docker/dashboard-login.sql').replace(":'password'", pg.escapeLiteral(password)),
  );

async function logIn<T>(password: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const url = new URL(database.uri);
  url.username = 'grafana';
  url.password = password;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

before(async () => {
  database = await createTestDatabase(t);
  t.after(async () => void (await database.pool.query('DROP ROLE grafana')));
});

describe('the login for dashboards', () => {
  test('is a member of prompt_dashboards, and reads no prompt', async () => {
    await makeLogin("one's");
    await logIn("one's", async (client) => {
      const { rows } = await client.query<{ member: boolean }>(
        "SELECT pg_has_role('grafana', 'prompt_dashboards', 'USAGE') AS member",
      );
      assert.deepEqual(rows, [{ member: true }]);
      for (const table of ['event', 'outbox', 'api_key'])
        await assert.rejects(
          client.query(`SELECT * FROM ${table}`),
          (error) => sqlState(error) === INSUFFICIENT_PRIVILEGE,
          table,
        );
    });
  });

  test('can be given another password', async () => {
    await makeLogin('two');
    await assert.rejects(
      logIn("one's", async () => {}),
      (error) => sqlState(error) === INVALID_PASSWORD,
    );
    const readOnly = await logIn('two', (client) => client.query('SHOW default_transaction_read_only'));
    assert.deepEqual(readOnly.rows, [{ default_transaction_read_only: 'on' }]);
  });
});

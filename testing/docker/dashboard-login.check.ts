/** The login that compose makes for Grafana, on a real PostgreSQL. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { tryLead } from '../../command-api/relay/leader.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { sqlState } from '../../platform/postgres/sqlstate.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { dashboardLogin } from './dashboard-login.ts';

const t = cleanup(after);
const INSUFFICIENT_PRIVILEGE = '42501';
const INVALID_PASSWORD = '28P01';
let database: TestDatabase;

const makeLogin = (password: string) => database.pool.query(dashboardLogin('grafana', password));

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

  test('cannot take advisory locks, which the services can', async () => {
    await makeLogin('three');
    await logIn('three', async (client) => {
      for (const take of ['pg_try_advisory_lock', 'pg_advisory_lock', 'pg_advisory_xact_lock_shared'])
        await assert.rejects(
          client.query(`SELECT ${take}(7301)`),
          (error) => sqlState(error) === INSUFFICIENT_PRIVILEGE,
          take,
        );
    });
    const onError = (error: Error) => assert.fail(error);
    const pool = createPool({ uri: database.uri, name: 'a service', max: 1, onError });
    try {
      for (const take of ['pg_try_advisory_lock', 'pg_try_advisory_xact_lock'])
        assert.deepEqual((await pool.query(`SELECT ${take}(7303) AS taken`)).rows, [{ taken: true }]);
    } finally {
      await pool.end();
    }
    const leadership = await tryLead(database.uri, 'a relay');
    await leadership?.release();
    assert.ok(leadership, 'a relay leads');
  });

  test('is made where the former release took the locks from the services, too', async () => {
    const { rows } = await database.pool.query<{ fn: string }>(
      `SELECT oid::regprocedure::text AS fn FROM pg_proc WHERE proname ~ '^pg_(try_)?advisory_'`,
    );
    for (const { fn } of rows) await database.pool.query(`REVOKE EXECUTE ON FUNCTION ${fn} FROM PUBLIC, prompt_app`);
    await assert.rejects(tryLead(database.uri, 'a relay'), (error) => sqlState(error) === INSUFFICIENT_PRIVILEGE);
    await makeLogin('four');
    const leadership = await tryLead(database.uri, 'a relay');
    await leadership?.release();
    assert.ok(leadership);
  });
});

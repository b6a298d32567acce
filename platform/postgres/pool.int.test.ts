/** Pools and single connections: their settings; and that they find out by themselves when a socket stands and carries nothing. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { openWire, type Wire } from '../../testing/kit/wire.ts';
import { openClient } from './client.ts';
import { createPool } from './pool.ts';
import { isConnectionLoss } from './sqlstate.ts';

const t = cleanup(after);
let database: TestDatabase;
let wire: Wire;
before(async () => {
  database = await createTestDatabase(t);
  wire = await openWire(database.uri);
  t.after(wire.close);
});
beforeEach(() => wire.mend());

const seconds = async (work: Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  await work;
  return (performance.now() - startedAt) / 1000;
};

/** With `n` connections that stand idle. */
async function warmPool(n: number) {
  const pool = createPool({ uri: wire.uri, name: 'warm', max: n, statementTimeoutMs: 500, onError: () => {} });
  await Promise.all(Array.from({ length: n }, () => pool.query('SELECT pg_sleep(0.05)')));
  assert.equal(pool.idleCount, n);
  return pool;
}

describe('a connection', () => {
  const SESSION = `SELECT current_setting('jit') AS jit, current_setting('role') AS role, current_setting('TimeZone') AS zone,
    current_setting('statement_timeout') AS statement`;

  // As an official image has it, or an operator: what the session itself says counts for more.
  before(async () => {
    const { rows } = await database.pool.query<{ name: string }>('SELECT quote_ident(current_database()) AS name');
    await database.pool.query(`ALTER DATABASE ${rows[0]!.name} SET jit = on`);
  });

  test('of a pool compiles no plans, whatever the server’s default, and has what else a session is to have', async () => {
    const pool = createPool({
      uri: database.uri,
      name: 'settings',
      max: 1,
      statementTimeoutMs: 700,
      onError: () => {},
    });
    try {
      const { rows } = await pool.query(SESSION);
      assert.deepEqual(rows, [{ jit: 'off', role: 'prompt_app', zone: 'UTC', statement: '700ms' }]);
    } finally {
      await pool.end();
    }
  });

  test('alone does not either', async () => {
    const settings = { role: 'prompt_app' };
    const client = await openClient({ uri: database.uri, name: 'settings', statementTimeoutMs: 700, settings });
    try {
      const { rows } = await client.query(SESSION);
      assert.deepEqual(rows, [{ jit: 'off', role: 'prompt_app', zone: 'UTC', statement: '700ms' }]);
    } finally {
      await client.end();
    }
  });
});

describe('a pool over a network that lost its connections without a word', () => {
  test('pays one time-out, not one for each of them', async () => {
    const pool = await warmPool(6);
    wire.hang();
    wire.mend();
    await assert.rejects(pool.query('SELECT 1'), isConnectionLoss);
    const { rows } = await pool.query<{ one: number }>('SELECT 1 AS one');
    assert.deepEqual(rows, [{ one: 1 }]);
    await pool.end();
  });

  test('ends within seconds', async () => {
    const pool = await warmPool(3);
    wire.hang();
    assert.ok((await seconds(pool.end())) < 4);
  });
});

describe('a single connection', () => {
  const open = () => openClient({ uri: wire.uri, name: 'single', statementTimeoutMs: 400 });

  test('that is half-open fails its statement in time, is lost then, and ends', async () => {
    const client = await open();
    wire.hang();
    assert.equal(client.lost, false);
    assert.ok((await seconds(assert.rejects(client.query('SELECT 1'), isConnectionLoss))) < 3);
    assert.equal(client.lost, true);
    await assert.rejects(client.query('SELECT 1'));
    await client.end();
  });

  test('that is half-open and idle ends within seconds', async () => {
    const client = await open();
    wire.hang();
    assert.ok((await seconds(client.end())) < 4);
  });

  test('is not made when nobody answers, and leaves nothing behind', async () => {
    wire.hang();
    const opening = openClient({ uri: wire.uri, name: 'single', statementTimeoutMs: 400, connectTimeoutMs: 300 });
    assert.ok((await seconds(assert.rejects(opening, isConnectionLoss))) < 3);
  });

  test('is not lost when the server ends a statement', async () => {
    const client = await open();
    await assert.rejects(client.query('SELECT pg_sleep(5)'), { code: '57014' });
    assert.equal(client.lost, false);
    assert.equal((await client.query('SELECT 1 AS one')).rows[0]?.one, 1);
    await client.end();
  });
});

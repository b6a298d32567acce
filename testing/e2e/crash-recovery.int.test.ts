/** One backend of a server of our own is killed: PostgreSQL drops all others, recovers and goes on, its postmaster the same. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type pg from 'pg';
import { createDispatchLedger } from '../../command-api/relay/dispatch-ledger.ts';
import { type RunningServer, startPostgres } from '../../deployment/local/servers/postgres.ts';
import { appendCall, encodeAppend } from '../../platform/postgres/append.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../kit/cleanup.ts';
import { until } from '../kit/until.ts';
import { started, submitted } from '../simulation/ports.ts';

const LEASE_SECONDS = 2;
const t = cleanup(after);
let server: RunningServer;
let pool: pg.Pool;
before(async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-crash-'));
  t.after(async () => rmSync(dataDir, { recursive: true, force: true }));
  server = await startPostgres({ dataDir, settings: { fsync: 'off' } });
  t.after(server.stop);
  await applyMigrations(server.uri, join(import.meta.dirname, '../../migrations'));
  pool = createPool({ uri: server.uri, name: 'survivor', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

const one = async <T>(text: string): Promise<T> =>
  (await pool.query<{ value: T }>(`SELECT ${text} AS value`)).rows[0]!.value;

test('when a backend is killed, the server recovers under its postmaster and no lease is dead before it ran anew', async () => {
  const dispatch = createDispatchLedger(async (statement) => (await pool.query(statement)).rows);
  const streamId = crypto.randomUUID();
  const open = { op: 'open', user: 'ada', model: 'm', lane: 1 } as const;
  await appendCall(pool, [encodeAppend({ streamId, expectedVersion: 0, events: [submitted('ada')], outbox: open })]);
  const [stamped] = await dispatch.stamp({ lane: 1, model: 'm' }, '', 1, 1);
  const claim = {
    op: 'claim',
    dispatch: stamped!.dispatch,
    token: crypto.randomUUID(),
    worker: 'w',
    attempt: 1,
    lease: LEASE_SECONDS,
    hold: null,
  } as const;
  const [claimed] = await appendCall(pool, [
    encodeAppend({ streamId, expectedVersion: 1, events: [started(1)], outbox: claim }),
  ]);
  assert.equal(claimed?.status, 'appended');
  const postmaster = 'pg_postmaster_start_time()';
  await until('the server has been up for longer than a lease', () =>
    one<boolean>(`${postmaster} + interval '${LEASE_SECONDS} seconds' < clock_timestamp()`),
  );
  const startedAt = await one<string>(postmaster);

  const victim = await pool.connect();
  const { rows } = await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const gone = new Promise((resolve) => victim.once('end', resolve));
  process.kill(rows[0]!.pid, 'SIGKILL');
  await gone;
  victim.release(true);

  const over = 'SELECT lease_until < clock_timestamp() AS over FROM outbox';
  await until('it serves again, and the lease is over', async () => {
    try {
      return (await pool.query<{ over: boolean }>(over)).rows[0]?.over;
    } catch {
      return false;
    }
  });
  assert.equal(await one(postmaster), startedAt, 'it is the same postmaster');
  assert.equal(await one('(SELECT count(*)::integer FROM server_up)'), 0, 'recovery has emptied it');
  assert.deepEqual(await dispatch.deadLeases(10), [], 'its worker may be about to settle');
  const dead = await until('the server has been up for a lease', async () => {
    const found = await dispatch.deadLeases(10);
    return found.length > 0 ? found : null;
  });
  assert.deepEqual(dead, [{ promptId: streamId, token: claim.token }]);
});

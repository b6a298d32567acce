/** A replica that reads come from (POSTGRES_READ_URI) is killed, comes back behind, and catches up: no read is refused. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Client, createClient } from '../../client/client.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { createImpairments } from '../faults/impairments.ts';
import { createPostgres, queryOn, type Server } from '../faults/servers.ts';
import { createStandby, type Standby } from '../faults/standby.ts';
import { cleanup } from '../kit/cleanup.ts';
import { run, type Service, startService } from '../kit/process.ts';
import { createTestRedis, type TestRedis } from '../kit/redis.ts';
import { until } from '../kit/until.ts';
import { openWire, type Wire } from '../kit/wire.ts';

const t = cleanup(after);
const dir = mkdtempSync(join(tmpdir(), 'orchestrator-replica-'));
const SETTINGS = { fsync: 'off', wal_retrieve_retry_interval: '100ms' };
let primary: Server;
let standby: Standby;
/** Before the replica, which comes back on another port. */
let wire: Wire;
let redis: TestRedis;
let queryApi: Service;
let key: string;
let commands: Client;
let queries: Client;

before(async () => {
  t.after(async () => rmSync(dir, { recursive: true, force: true }));
  const [primaryDir, standbyDir] = [join(dir, 'primary'), join(dir, 'standby')];
  mkdirSync(primaryDir, { mode: 0o700 });
  primary = await createPostgres(primaryDir, SETTINGS, () => {}, createImpairments());
  t.after(() => primary.stop());
  await applyMigrations(primary.uri, join(import.meta.dirname, '../../migrations'));
  standby = await createStandby(primary, primaryDir, standbyDir, SETTINGS);
  t.after(() => standby.stop());
  wire = await openWire(standby.server.uri);
  t.after(wire.close);
  redis = await createTestRedis(t);
  const pool = createPool({ uri: primary.uri, name: 'keys', max: 1, onError: () => {} });
  key = (await createKey(pool, { userId: 'ada', role: 'admin', name: 'test', expiresAt: null })).key;
  await pool.end();
  await standby.caughtUp();
  const env = { POSTGRES_URI: primary.uri, REDIS_URI: redis.uri, CACHE_TTL_MINUTES: '0' };
  const [commandApi, reader] = await Promise.all([
    startService(t, 'command-api', env),
    startService(t, 'query-api', { ...env, POSTGRES_READ_URI: wire.uri }),
    startService(t, 'projector', env),
  ]);
  queryApi = reader;
  [commands, queries] = [commandApi, queryApi].map(({ port }) =>
    createClient({ baseUrl: `http://127.0.0.1:${port}`, apiKey: key }),
  ) as [Client, Client];
});

const READERS = `SELECT DISTINCT substring(application_name FROM 'query-api-(.*)') AS name FROM pg_stat_activity
  WHERE application_name IN ('query-api-reads', 'query-api-fallback') ORDER BY 1`;
const readersOf = async (query: ReturnType<typeof queryOn>) =>
  (await query<{ name: string }>(READERS)).map(({ name }) => name);
const onPrimary = () => readersOf(queryOn(() => primary));

async function readyz() {
  const response = await fetch(`http://127.0.0.1:${queryApi.adminPort}/readyz`);
  const { status, checks } = (await response.json()) as { status: string; checks: Record<string, { detail?: string }> };
  return { code: response.status, status, reads: checks['reads'] };
}

async function get(path: string): Promise<{ data: { id: string }[]; position: number }> {
  const headers = { authorization: `Bearer ${key}` };
  const response = await fetch(`http://127.0.0.1:${queryApi.port}${path}`, { headers });
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
  return (await response.json()) as Awaited<ReturnType<typeof get>>;
}

/** Asks, and reads what it is told of at once, in each of the ways there are. */
async function readOwnWrites(): Promise<void> {
  const { id, position } = await commands.ask({ prompt: 'read your writes', model: 'gemini-2.5-flash' });
  assert.equal((await queries.prompt(id, { minPosition: position })).id, id);
  assert.equal((await get(`/prompts?limit=1&minPosition=${position}`)).data[0]?.id, id);
  assert.equal((await get(`/prompts?limit=1&status=queued&minPosition=${position}`)).data[0]?.id, id);
  assert.ok((await get(`/stats/users?minPosition=${position}`)).position >= position);
}

describe('a replica that reads come from', () => {
  test('is the only one that is read from while it is there', async () => {
    await readOwnWrites();
    assert.deepEqual([await readersOf(standby.query), await onPrimary()], [['reads'], []]);
    assert.deepEqual(await readyz(), { code: 200, status: 'ok', reads: { ok: true } });
  });

  test('is missed by nobody while it is away: the primary answers, and readiness tells', async () => {
    await standby.server.kill();
    for (let i = 0; i < 10; i += 1) await readOwnWrites();
    assert.deepEqual(await onPrimary(), ['fallback']);
    const { code, status, reads } = await readyz();
    assert.deepEqual([code, status], [200, 'degraded']);
    assert.match(reads?.detail ?? '', /^away, the primary answers in its place: /);
    const health = await fetch(`http://127.0.0.1:${queryApi.port}/health`);
    assert.deepEqual([health.status, ((await health.json()) as { replica: null }).replica], [200, null]);
  });

  test('that comes back behind is not read from before it has what was read elsewhere', async () => {
    standby.link.cut();
    await standby.server.start();
    wire.retarget(standby.server.uri);
    const taken = wire.taken;
    await until('it answers', () => wire.taken > taken && readyz().then(({ status }) => status === 'ok'));
    for (let i = 0; i < 5; i += 1) await readOwnWrites();
    assert.doesNotMatch(queryApi.said(), /is read from again/);
    standby.link.mend();
    await until('it is read from again', async () => {
      await readOwnWrites();
      return /is read from again/.test(queryApi.said());
    });
    for (let i = 0; i < 10; i += 1) await readOwnWrites();
    assert.deepEqual(await readersOf(standby.query), ['reads']);
  });

  test('is not there at a start: the query-api starts, unless the replica refuses its login', async () => {
    await standby.server.kill();
    const env = { POSTGRES_URI: primary.uri, REDIS_URI: redis.uri, POSTGRES_READ_URI: wire.uri };
    const other = await startService(t, 'query-api', env);
    assert.equal(await other.end(), 0);
    const wrong = new URL(primary.uri);
    wrong.password = 'hunter2';
    const refused = run(t, ['query-api/main.ts'], {
      ...env,
      PORT: '0',
      ADMIN_PORT: '0',
      POSTGRES_READ_URI: wrong.href,
    });
    assert.equal(await refused.exit, 1);
    assert.match(refused.said(), /^PostgreSQL refuses the login of POSTGRES_READ_URI: password .* \(28P01\)/m);
    assert.doesNotMatch(refused.said(), /hunter2/);
  });
});

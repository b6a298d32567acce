/** The four services as processes of their own, as they run in production. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Client, createClient } from '../../client/client.ts';
import { freePort } from '../../deployment/local/servers/free-port.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { type MetricsService, metricsOf } from '../../platform/telemetry/reference.ts';
import { type Emulator, startEmulator } from '../emulator/emulator.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { subscribe } from '../kit/feed.ts';
import { run, type Service, startService } from '../kit/process.ts';
import { createTestRedis, type TestRedis } from '../kit/redis.ts';
import { until } from '../kit/until.ts';
import { openWire } from '../kit/wire.ts';

const t = cleanup(after);
let database: TestDatabase;
let redis: TestRedis;
let emulator: Emulator;
let key: string;
let commands: Client;
let queries: Client;
const services: Record<string, Service> = {};
const uris = () => ({ POSTGRES_URI: database.uri, REDIS_URI: redis.uri });

before(async () => {
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  emulator = await startEmulator();
  t.after(emulator.close);
  key = (await createKey(database.pool, { userId: 'ada', role: 'admin', name: 'test', expiresAt: null })).key;
  const provider = { GEMINI_API_KEY: 'k', GEMINI_BASE_URL: emulator.url };
  const started = await Promise.all(
    ['command-api', 'worker', 'projector', 'query-api'].map(async (name) => {
      return [name, await startService(t, name, { ...uris(), ...(name === 'worker' && provider) })] as const;
    }),
  );
  for (const [name, service] of started) services[name] = service;
  const clientOf = (name: string) => createClient({ baseUrl: `http://127.0.0.1:${services[name]!.port}`, apiKey: key });
  commands = clientOf('command-api');
  queries = clientOf('query-api');
});

const get = (port: number, path: string) => fetch(`http://127.0.0.1:${port}${path}`);

describe('a service that waits', () => {
  type Checks = Record<string, { ok: boolean; detail?: string }>;
  const isStarting = { ok: false, detail: 'is starting' };

  /** What its readiness tells once `asked`, the server that is there, was asked. */
  async function toldBy(env: Record<string, string>, asked: string): Promise<Checks> {
    const ADMIN_PORT = String(await freePort());
    const waiting = run(t, ['projector/main.ts'], { ...uris(), ...env, ADMIN_PORT });
    const checks = await until(`${asked} answers`, async () => {
      const answer = await get(Number(ADMIN_PORT), '/readyz').catch(() => null);
      if (!answer) return null;
      assert.equal(answer.status, 503);
      const { checks } = (await answer.json()) as { checks: Checks };
      return checks[asked]?.ok ? checks : null;
    });
    await waiting.end('SIGKILL');
    return checks;
  }

  test('for Postgres tells why, and that Redis is there', async () => {
    const port = await freePort();
    const away = `postgres://u:hunter2@127.0.0.1:${port}/n`;
    const postgres = { ok: false, detail: `connect ECONNREFUSED 127.0.0.1:${port}` };
    const told = await toldBy({ POSTGRES_URI: away }, 'redis');
    assert.deepEqual(told, { postgres, redis: { ok: true }, service: isStarting });
  });

  test('for Redis tells why, and that Postgres is there', async () => {
    const port = await freePort();
    const { postgres, redis: away } = await toldBy({ REDIS_URI: `redis://:hunter2@127.0.0.1:${port}` }, 'postgres');
    assert.deepEqual([postgres, away], [{ ok: true }, { ok: false, detail: `connect ECONNREFUSED 127.0.0.1:${port}` }]);
  });
});

describe('four services apart', () => {
  test('answer a prompt between them, and push it', async () => {
    const feed = await subscribe(`http://127.0.0.1:${services['query-api']!.port}`, key);
    const { id, position } = await commands.ask({ prompt: 'across four processes', model: 'gemini-2.5-flash' });
    assert.equal((await queries.prompt(id, { wait: 10, minPosition: position })).status, 'completed');
    await feed.event('its completion', (frame) => frame.promptId === id && frame.event === 'PromptCompleted');
    feed.close();
  });

  test('serve each its own part of the API, and health on both', async () => {
    const [command, query] = [services['command-api']!.port, services['query-api']!.port];
    for (const port of [command, query]) assert.equal((await get(port, '/health')).status, 200);
    const health = (await (await get(command, '/health')).json()) as { relay: object };
    assert.deepEqual(health.relay, { leads: 'this process' });
    assert.equal((await get(command, '/prompts')).status, 404);
    const ask = await fetch(`http://127.0.0.1:${query}/ask`, { method: 'POST', body: '{}' });
    assert.equal(ask.status, 404);
    for (const path of ['/openapi.json', '/docs']) assert.equal((await get(query, path)).status, 200, path);
  });

  test('tell each on its admin port that it lives, is ready, and how it does', async () => {
    for (const [name, { adminPort }] of Object.entries(services)) {
      assert.equal((await get(adminPort, '/livez')).status, 200, name);
      assert.equal((await get(adminPort, '/readyz')).status, 200, name);
      // As the chart's probes ask: 400 if there were no check of that name.
      assert.equal((await get(adminPort, '/readyz?exclude=redis')).status, 200, name);
      const metrics = await (await get(adminPort, '/metrics')).text();
      assert.deepEqual(
        [...metrics.matchAll(/^# TYPE (\S+) \S+$/gm)].map((match) => match[1]).sort(),
        metricsOf(name as MetricsService)
          .map((metric) => metric.name)
          .sort(),
        `${name} serves what doc/reference/metrics.md lists, and nothing else`,
      );
      assert.match(metrics, new RegExp(`="${name}"`), name);
      const parked =
        /^projector_parked_streams\{projection="prompts",service="projector",application="prompt-orchestrator"\} 0$/m;
      if (name === 'projector') assert.match(metrics, parked);
    }
  });

  test('count requests by route and status alone, wherever they go', async () => {
    const { port, adminPort } = services['command-api']!;
    for (let i = 0; i < 3; i += 1) await get(port, `/nowhere/${i}?q=${i}`);
    await get(port, '/health'); // of gateways, not of users
    const text = await (await get(adminPort, '/metrics')).text();
    const counted = [...text.matchAll(/^http_server_request_duration_seconds_count\{(.*)\} (\d+)$/gm)];
    assert.ok(counted.some(([, labels, n]) => /route="none"/.test(labels!) && Number(n) >= 3));
    assert.ok(counted.every(([, labels]) => !/nowhere|health/.test(labels!)));
  });

  test('log JSON lines that name the service, and no prompt', async () => {
    const { id } = await commands.ask({ prompt: 'a secret nobody may log', model: 'gemini-2.5-flash' });
    await queries.prompt(id, { wait: 10 });
    for (const [name, service] of Object.entries(services)) {
      const lines = service.said().trim().split('\n');
      for (const line of lines) assert.equal((JSON.parse(line) as { service: string }).service, name, line);
      assert.doesNotMatch(service.said(), /a secret nobody may log/);
      assert.ok(!service.said().includes(key));
    }
  });

  test('end with 0 when they are told to, in any order', async () => {
    const codes = await Promise.all(Object.values(services).map((service) => service.end('SIGTERM')));
    assert.deepEqual(codes, [0, 0, 0, 0]);
  });
});

describe('a service that cannot start', () => {
  const failing = async (service: string, env: Record<string, string>) => {
    const process = run(t, [`${service}/main.ts`], { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', ...env });
    return { code: await process.exit, said: process.said() };
  };

  test('for want of configuration names every variable, and exits 1', async () => {
    const { code, said } = await failing('worker', { NUMBER_OF_WORKERS: 'many', LOG_LEVEL: 'loud' });
    assert.equal(code, 1);
    for (const name of ['NUMBER_OF_WORKERS', 'LOG_LEVEL', 'POSTGRES_URI', 'REDIS_URI', 'GEMINI_API_KEY'])
      assert.match(said, new RegExp(`^ +${name}: `, 'm'));
    assert.doesNotMatch(said, /\bat .*\.ts:\d+/);
  });

  test('since everything is wrong tells it at once, key, files and folders too, and connects to nobody', async () => {
    const [toPostgres, toRedis] = [await openWire(database.uri), await openWire(redis.uri)];
    for (const wire of [toPostgres, toRedis]) t.after(wire.close);
    const addresses = { POSTGRES_URI: toPostgres.uri, REDIS_URI: toRedis.uri };
    const PRICES_FILE = '/nowhere/prices.json';
    const models = { MODELS: 'gpt-9', DEFAULT_MODEL: 'gpt-8' };
    const problems = {
      worker: {
        NUMBER_OF_WORKERS: 'many',
        GEMINI_API_KEY: '',
        PRICES_FILE,
        SPOOL_DIR: join(import.meta.filename, 'spool'),
      },
      'command-api': { SHUTDOWN_GRACE_SECONDS: 'long', PRICES_FILE, ...models },
      'query-api': { CACHE_TTL_MINUTES: 'few', PRICES_FILE, ...models },
    };
    for (const [service, wrong] of Object.entries(problems)) {
      const { code, said } = await failing(service, { ...addresses, ...wrong });
      const [head, ...lines] = said.trim().split('\n');
      assert.deepEqual([code, head], [1, 'The configuration is not valid:'], said);
      assert.deepEqual(lines.map((line) => line.trim().split(':')[0]).sort(), Object.keys(wrong).sort(), said);
    }
    assert.deepEqual([toPostgres.taken, toRedis.taken], [0, 0]);
  });

  test('since Postgres refuses its login, or has no such database, says so instead of waiting', async () => {
    const changed = (change: (uri: URL) => void) => {
      const uri = new URL(database.uri);
      change(uri);
      return uri.href;
    };
    const refused = {
      [changed((uri) => {
        uri.password = 'hunter2';
      })]: /^PostgreSQL refuses the login of POSTGRES_URI: password authentication failed for user "\w+" \(28P01\)\. /,
      [changed((uri) => {
        uri.pathname = '/elsewhere';
      })]: /^PostgreSQL refuses the login of POSTGRES_URI: database "elsewhere" does not exist \(3D000\)\. /,
    };
    for (const [POSTGRES_URI, sentence] of Object.entries(refused)) {
      const { code, said } = await failing('projector', { ...uris(), POSTGRES_URI });
      assert.deepEqual([code, said.trim().split('\n').length], [1, 1], said);
      assert.match(said, sentence);
      assert.doesNotMatch(said, /hunter2/);
    }
  });

  test('on a schema it does not know says which, and what to do', async () => {
    const other = await createTestDatabase(t);
    const env = { REDIS_URI: redis.uri, POSTGRES_URI: other.uri };
    await other.pool.query("INSERT INTO migrations (id, name, hash) VALUES (999, 'from the future', 'x')");
    await other.pool.query('UPDATE schema_support SET oldest_build = 999');
    const newer = await failing('projector', env);
    assert.deepEqual([newer.code, newer.said.trim().split('\n').length], [1, 1]);
    assert.match(
      newer.said,
      /schema version 999, which takes builds made for version 999 or later, .*: start the newer release/,
    );
    await other.pool.query('DELETE FROM migrations WHERE id > 2');
    const older = await failing('command-api', env);
    assert.equal(older.code, 1);
    assert.match(
      older.said,
      /The database has schema version 2, this build needs version \d+: run "npm run migrate" first/,
    );
  });
});

test('a worker killed in the middle of a call leaves its prompt to the next, and its attempt on record', async () => {
  const env = { ...uris(), LEASE_SECONDS: '1', RETRY_BASE_SECONDS: '0.05', RETRY_CAP_SECONDS: '0.1' };
  const provider = { GEMINI_API_KEY: 'k', GEMINI_BASE_URL: emulator.url };
  const api = await startService(t, 'command-api', env);
  const first = await startService(t, 'worker', { ...env, ...provider });
  const client = createClient({ baseUrl: `http://127.0.0.1:${api.port}`, apiKey: key });
  const { id } = await client.ask({
    prompt: 'slow at first [[emulate {"faults":["hang","ok"],"text":"second"}]]',
    model: 'gemini-2.5-flash',
  });
  await until('the call has begun', () => emulator.billing.entries().some((entry) => entry.attemptId === `${id}/1`));
  assert.equal(await first.end('SIGKILL'), null);
  const second = await startService(t, 'worker', { ...env, ...provider });
  const types = await until('the prompt has ended', async () => {
    const { rows } = await database.pool.query<{ type: string; nano: string | null; bound: string | null }>(
      `SELECT type, data ->> 'nanoUsd' AS nano, data ->> 'boundNanoUsd' AS bound FROM event
        WHERE stream_id = $1 ORDER BY version`,
      [id],
    );
    return rows.at(-1)?.type === 'PromptCompleted' ? rows : null;
  });
  assert.deepEqual(
    types.map(({ type }) => type),
    ['PromptSubmitted', 'AttemptStarted', 'AttemptFailed', 'AttemptStarted', 'PromptCompleted'],
  );
  assert.equal(types[2]!.nano, null);
  assert.ok(Number(types[2]!.bound) > 0);
  assert.ok(Number(types[4]!.nano) > 0);
  const calls = emulator.billing.entries().filter((entry) => entry.attemptId?.startsWith(`${id}/`));
  assert.deepEqual(
    calls.map(({ attemptId }) => attemptId),
    [`${id}/1`, `${id}/2`],
  );
  assert.deepEqual(await Promise.all([api.end(), second.end()]), [0, 0]);
});

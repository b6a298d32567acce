/** What is sampled, which variables name the collector, and collectors that behave badly. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { startCollector } from '../../testing/kit/collector.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { startService } from '../../testing/kit/process.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { createKey } from '../postgres/api-keys.ts';

const t = cleanup(after);
let database: TestDatabase;
let redis: TestRedis;
let key: string;

before(async () => {
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  key = (await createKey(database.pool, { userId: 'ada', role: 'user', name: 'test', expiresAt: null })).key;
});

const start = (service: string, env: Record<string, string>) =>
  startService(t, service, {
    POSTGRES_URI: database.uri,
    REDIS_URI: redis.uri,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    ...env,
  });

async function ask(port: number, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/ask`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ prompt: 'follow me', model: 'gemini-2.5-flash' }),
  });
  assert.equal(response.status, 202, await response.clone().text());
  return ((await response.json()) as { id: string }).id;
}

describe('one prompt', () => {
  const trace = `${'c'.repeat(31)}1`;

  test('is in the trace of its request, whose last spans are sent when the service stops', async () => {
    const { address, spans } = await startCollector(t);
    const api = await start('command-api', { JAEGER_URI: address, OTEL_BSP_SCHEDULE_DELAY: '60000' });
    await ask(api.port, { traceparent: `00-${trace}-${'d'.repeat(16)}-01` });
    assert.equal(await api.end(), 0);
    const mine = spans.filter((span) => span.traceId === trace && span.service === 'command-api');
    assert.ok(mine.some((span) => span.parentSpanId === 'd'.repeat(16)));
  });

  test('without a traceparent begins a trace that its events have too', async () => {
    const { address, spans } = await startCollector(t);
    const api = await start('command-api', { JAEGER_URI: address });
    const id = await ask(api.port);
    const { rows } = await database.pool.query<{ traceparent: string | null }>(
      "SELECT metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1",
      [id],
    );
    const [, traceId, spanId] = rows[0]?.traceparent?.split('-') ?? [];
    assert.equal(await api.end(), 0);
    assert.ok(spans.some((span) => span.traceId === traceId && span.spanId === spanId));
  });

  test('that the caller does not want sampled is carried and not exported', async () => {
    const { address, spans } = await startCollector(t);
    const api = await start('command-api', { JAEGER_URI: address });
    const unsampled = `${'e'.repeat(31)}1`;
    const id = await ask(api.port, { traceparent: `00-${unsampled}-${'d'.repeat(16)}-00` });
    await ask(api.port);
    const { rows } = await database.pool.query<{ traceparent: string }>(
      "SELECT metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1",
      [id],
    );
    assert.match(rows[0]?.traceparent ?? '', new RegExp(`^00-${unsampled}-[0-9a-f]{16}-00$`));
    assert.equal(await api.end(), 0);
    assert.ok(spans.length > 0);
    assert.ok(!spans.some((span) => span.traceId === unsampled));
  });
});

describe('the standard variables', () => {
  test('name the traces’ own endpoint and headers, and win over JAEGER_URI', async () => {
    const [standard, jaeger] = [await startCollector(t), await startCollector(t)];
    const api = await start('command-api', {
      JAEGER_URI: jaeger.address,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://${standard.address}/own/path`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue',
    });
    await ask(api.port);
    assert.equal(await api.end(), 0);
    assert.ok(standard.spans.some((span) => span.service === 'command-api'));
    assert.deepEqual([...new Set(standard.requests.map(({ path }) => path))], ['/own/path']);
    assert.ok(standard.requests.every(({ tenant }) => tenant === 'blue'));
    assert.equal(jaeger.requests.length, 0);
  });

  test('OTEL_SDK_DISABLED turns everything off', async () => {
    const { address, requests } = await startCollector(t);
    const api = await start('command-api', { JAEGER_URI: address, OTEL_SDK_DISABLED: 'true' });
    await ask(api.port);
    assert.equal(await api.end(), 0);
    assert.equal(requests.length, 0);
  });
});

describe('a collector', () => {
  test('that takes connections and never answers disturbs neither the service nor its stop', async () => {
    const sockets: Socket[] = [];
    const silent = createSocketServer((socket) => {
      socket.on('error', () => {}); // the service resets it when it stops
      sockets.push(socket);
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(async () => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    const api = await start('command-api', { JAEGER_URI: `127.0.0.1:${(silent.address() as AddressInfo).port}` });
    for (let i = 0; i < 5; i += 1) await ask(api.port);
    await until('the service tries to send', () => sockets.length > 0);
    const startedAt = performance.now();
    assert.equal(await api.end(), 0);
    const took = performance.now() - startedAt;
    assert.ok(took < 8_000, `${took} ms`);
  });

  test('that is not named costs nothing: no event has a trace of its own', async () => {
    const api = await start('command-api', {});
    const id = await ask(api.port);
    const { rows } = await database.pool.query<{ traceparent: string | null }>(
      "SELECT metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1",
      [id],
    );
    assert.deepEqual(rows, [{ traceparent: null }]);
    assert.equal(await api.end(), 0);
  });
});

/** Services as processes of their own, and a collector that writes down what they send. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startEmulator } from '../../testing/emulator/emulator.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { type Span, startCollector } from '../../testing/kit/collector.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { startService } from '../../testing/kit/process.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { createKey } from '../postgres/api-keys.ts';

const TRACE = 'a'.repeat(31).concat('1');
const t = cleanup(after);

let spans: Span[];
let database: TestDatabase;
let redis: TestRedis;
let key: string;
let collector: string;

before(async () => {
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  key = (await createKey(database.pool, { userId: 'ada', role: 'user', name: 'test', expiresAt: null })).key;
  ({ address: collector, spans } = await startCollector(t));
});

const start = (service: string, env: Record<string, string>) =>
  startService(t, service, {
    POSTGRES_URI: database.uri,
    REDIS_URI: redis.uri,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    ...env,
  });

const ask = (port: number, traceparent?: string) =>
  fetch(`http://127.0.0.1:${port}/ask`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(traceparent && { traceparent }),
    },
    body: JSON.stringify({ prompt: 'follow me', model: 'gemini-2.5-flash' }),
  });

describe('a trace', () => {
  test('that a request brings is carried through events and both streams, and its spans reach the collector', async () => {
    const emulator = await startEmulator();
    t.after(emulator.close);
    const api = await start('command-api', { JAEGER_URI: collector });
    const worker = await start('worker', { JAEGER_URI: collector, GEMINI_API_KEY: 'k', GEMINI_BASE_URL: emulator.url });
    const response = await ask(api.port, `00-${TRACE}-${'b'.repeat(16)}-01`);
    assert.equal(response.status, 202);
    const { id } = (await response.json()) as { id: string };
    const events = await until('the prompt has ended', async () => {
      const { rows } = await database.pool.query<{ type: string; traceparent: string }>(
        "SELECT type, metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1 ORDER BY version",
        [id],
      );
      return rows.at(-1)?.type === 'PromptCompleted' ? rows : null;
    });
    assert.equal(events.length, 3);
    for (const { type, traceparent } of events) assert.equal(traceparent.split('-')[1], TRACE, type);
    const results = await until('the outcome was told', async () => {
      const entries = await redis.client.xrange('results', '-', '+');
      return entries.length > 0 ? entries : null;
    });
    assert.ok(results.flatMap(([, fields]) => fields).some((field) => field.includes(TRACE)));
    const mine = await until('a span of the API', () => spans.find((span) => span.traceId === TRACE));
    assert.equal(mine.service, 'command-api');
    assert.ok(spans.some((span) => span.traceId === TRACE && span.parentSpanId === 'b'.repeat(16)));
    assert.doesNotMatch(JSON.stringify(spans), /follow me/);
    assert.deepEqual(await Promise.all([api.end(), worker.end()]), [0, 0]);
  });
});

describe('a collector', () => {
  test('named by the standard variable wins over JAEGER_URI', async () => {
    spans.length = 0;
    const api = await start('command-api', {
      APP_ID: 'front-door',
      JAEGER_URI: '127.0.0.1:9',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://${collector}`,
    });
    await ask(api.port);
    await until('its spans', () => spans.some((span) => span.service === 'front-door'));
    assert.equal(await api.end(), 0);
  });

  test('that is away disturbs neither the service nor its stop', async () => {
    const api = await start('command-api', { JAEGER_URI: '127.0.0.1:9' });
    for (let i = 0; i < 20; i += 1) assert.equal((await ask(api.port)).status, 202);
    const startedAt = performance.now();
    assert.equal(await api.end(), 0);
    const took = performance.now() - startedAt;
    assert.ok(took < 8_000, `${took} ms`);
  });
});

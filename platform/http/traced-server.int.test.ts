/** The spans of requests and their handlers, on a server that listens. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { register } from 'import-in-the-middle/register-hooks.mjs';
import { recordSpans } from '../../testing/kit/recorded-spans.ts';
import { until } from '../../testing/kit/until.ts';
import { HandlerSpans, handlerSpansOf } from '../telemetry/handler-spans.ts';
import { createLogger } from '../telemetry/logging.ts';
import { activeTraceparent } from '../telemetry/traceparent.ts';
import type { Server } from './server.ts';

const [TRACE, CALLER] = ['a'.repeat(32), 'b'.repeat(16)];
const spans = recordSpans();
let server: Server;
let address: string;
/** What the last handler was run in. */
let inside: { active: string | null; request: string | null };

before(async () => {
  // As the preload does: before Fastify is imported.
  register({ include: ['fastify'] });
  new HandlerSpans().setTracerProvider(handlerSpansOf(trace.getTracerProvider()));
  const { createServer } = await import('./server.ts');
  server = createServer({ logger: createLogger({ service: 'test', level: 'silent' }), tracing: true });
  server.addHook('onRequest', async () => {});
  const answer = async (request: { traceparent: string | null }) => {
    inside = { active: activeTraceparent(), request: request.traceparent };
    return { ok: true };
  };
  server.get('/things/:id', answer);
  server.post('/things', answer);
  server.get('/health', answer);
  server.get('/broken', async () => {
    throw Object.assign(new Error('secret'), { code: 'E_BROKEN' });
  });
  server.get('/slow', async () => new Promise(() => {}));
  await server.listen({ host: '127.0.0.1', port: 0 });
  address = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
});
after(() => server.close());
beforeEach(() => {
  spans.length = 0;
});

const get = (path: string, flags = '01') =>
  fetch(`${address}${path}`, { headers: { traceparent: `00-${TRACE}-${CALLER}-${flags}` } });
const request = () => until('its span', () => spans.find(({ kind }) => kind === SpanKind.SERVER));
const handlers = () => spans.filter(({ name }) => name.startsWith('handler'));

describe('a request that is recorded', () => {
  test('has a span by its route, without the query, under the caller’s', async () => {
    await get('/things/7?q=words+of+a+prompt');
    const span = await request();
    assert.equal(span.name, 'GET /things/:id');
    assert.equal(span.parentSpanContext?.spanId, CALLER);
    const { 'user_agent.original': agent, ...attributes } = span.attributes;
    assert.equal(typeof agent, 'string');
    assert.deepEqual(attributes, {
      'http.request.method': 'GET',
      'http.route': '/things/:id',
      'http.response.status_code': 200,
      'url.path': '/things/7',
      'url.scheme': 'http',
    });
  });

  test('is handled in a span beneath, the only other one; what it causes stands under the request', async () => {
    await fetch(`${address}/things`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent: `00-${TRACE}-${CALLER}-01` },
      body: '{"a":1}',
    });
    const span = await request();
    const [handler] = handlers();
    assert.equal(spans.length, 2);
    assert.equal(handler?.name, 'handler /things');
    assert.equal(handler?.parentSpanContext?.spanId, span.spanContext().spanId);
    assert.deepEqual(inside, {
      active: `00-${TRACE}-${handler?.spanContext().spanId}-01`,
      request: `00-${TRACE}-${span.spanContext().spanId}-01`,
    });
  });

  test('that fails has the status, and the error’s code where it was thrown, never its message', async () => {
    assert.equal((await get('/broken')).status, 500);
    const span = await request();
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.equal(span.attributes['error.type'], '500');
    assert.equal(handlers()[0]?.attributes['error.type'], 'E_BROKEN');
    assert.doesNotMatch(
      JSON.stringify(spans.map(({ attributes, events, status }) => [attributes, events, status])),
      /secret/,
    );
  });

  test('to an address that is none is called by its method, and is no fault of ours', async () => {
    assert.equal((await get('/nothing/here')).status, 404);
    const span = await request();
    assert.equal(span.name, 'GET');
    assert.equal(span.status.code, SpanStatusCode.UNSET);
    assert.equal(span.attributes['http.response.status_code'], 404);
  });

  test('whose client leaves has a span that ends then, without a status', async () => {
    const { port } = server.server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const arrived = once(server.server, 'request');
    socket.write(`GET /slow HTTP/1.1\r\nhost: x\r\ntraceparent: 00-${TRACE}-${CALLER}-01\r\n\r\n`);
    await arrived;
    socket.destroy();
    const span = await request();
    assert.equal(span.name, 'GET /slow');
    assert.equal(span.attributes['http.response.status_code'], undefined);
  });
});

describe('a request that is not', () => {
  test('has no span, and goes on with its trace', async () => {
    await get('/things/7', '00');
    assert.match(inside.active ?? '', new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    assert.equal(inside.request, inside.active);
    assert.equal(spans.length, 0);
  });

  test('is a probe: it begins no trace, and goes on with none', async () => {
    await get('/health');
    assert.deepEqual(inside, { active: null, request: `00-${TRACE}-${CALLER}-01` });
    assert.equal(spans.length, 0);
  });
});

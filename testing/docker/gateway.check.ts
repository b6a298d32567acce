/** The gateway finds instances by name, and leaves those that are told to stop: its own configuration, a DNS and services of ours. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { createServer as createApiServer } from '../../platform/http/server.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { portToKeep } from '../faults/port.ts';
import { cleanup } from '../kit/cleanup.ts';
import type { After } from '../kit/database.ts';
import { latch, until } from '../kit/until.ts';
import { type Gateway, readGatewayConfig, startGateway } from './gateway.ts';

type Instance = {
  address: string;
  /** What /health says; `silent`: nothing. */
  says: 'ready' | 'unavailable' | 'stopping' | 'silent';
  asked: { health: number; other: number };
  /** Requests for /slow are answered when it is let go. */
  slow: ReturnType<typeof latch>;
  connections: () => Promise<number>;
  close: () => Promise<void>;
};

const HEALTH = {
  ready: [200, { status: 'ok', postgres: { ok: true } }],
  unavailable: [503, { status: 'unavailable', postgres: { ok: false, detail: 'no answer within 2000 ms' } }],
  stopping: [503, { status: 'unavailable', postgres: { ok: true }, stopping: { ok: false, detail: 'told to' } }],
} as const;

/** So long an API keeps a connection that nobody uses. */
const KEPT_MS = createApiServer({ logger: createLogger({ service: 'test', level: 'silent' }) }).server.keepAliveTimeout;

/** Instances are told apart by their address, as containers are. */
async function startInstance(t: After, address: string, port: number): Promise<Instance> {
  const instance: Instance = {
    address,
    says: 'ready',
    asked: { health: 0, other: 0 },
    slow: latch(),
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
    close: async () => {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer(async (request, response) => {
    if (request.url !== '/health') {
      instance.asked.other += 1;
      if (request.url === '/slow') await instance.slow.promise;
      response.end(address);
      return;
    }
    instance.asked.health += 1;
    if (instance.says === 'silent') return;
    const [status, body] = HEALTH[instance.says];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.keepAliveTimeout = KEPT_MS;
  server.listen(port, address);
  await once(server, 'listening');
  t.after(instance.close);
  return instance;
}

/** Answers for IPv4 with the addresses of the name, as they are at the time; resolves to its port. */
async function startNames(t: After, names: Record<string, string[]>): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    const isIPv4 = query.readUInt16BE(at + 1) === 1;
    const addresses = isIPv4 ? (names[labels.join('.')] ?? []) : [];
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180, 2); // an answer, without error
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    // Of the name in the question, type A, class IN, for 600 s, four bytes.
    const answers = addresses.map((one) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, ...one.split('.').map(Number)]),
    );
    socket.send(Buffer.concat([header, query.subarray(12, at + 5), ...answers]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(async () => void socket.close());
  return (socket.address() as AddressInfo).port;
}

type Site = {
  gateway: Gateway;
  names: { 'query-api': string[] };
  port: number;
  get: (path?: string) => Promise<string>;
};

/** One instance behind the gateway, which finds it by name. */
async function startSite(t: After): Promise<Site & { first: Instance }> {
  const port = await portToKeep();
  const first = await startInstance(t, '127.0.0.2', port);
  const names = { 'query-api': [first.address], 'command-api': [first.address] };
  const dns = await startNames(t, names);
  const resolver = /^ {4}parse-resolv-conf$/m;
  assert.match(readGatewayConfig(), resolver);
  const config = readGatewayConfig().replace(resolver, `    nameserver here 127.0.0.1:${dns}`);
  const gateway = await startGateway(t, config, {
    GATEWAY_COMMAND_API: `command-api:${port}`,
    GATEWAY_QUERY_API: `query-api:${port}`,
  });
  const get = async (path = '/') => {
    const response = await fetch(`${gateway.address}${path}`);
    assert.equal(response.status, 200, gateway.said());
    return response.text();
  };
  return { gateway, names, port, first, get };
}

describe('the gateway', () => {
  test('replaces an instance by another without one failed request', async (context) => {
    const t = cleanup((end) => context.after(end));
    const { gateway, names, port, first, get } = await startSite(t);
    assert.equal(await get(), first.address);
    // Of the client's connection, whatever the service says of its own.
    assert.equal((await fetch(gateway.address)).headers.get('keep-alive'), 'timeout=10');

    const slow = get('/slow');
    await until('a slow request has arrived', () => first.asked.other === 3);

    // Its address is known before it listens: whatever is sent there goes to the other one.
    names['query-api'].push('127.0.0.3');
    const known = async () => [...(await gateway.ofServers('haproxy_server_check_failures_total')).values()];
    await until('the other one is known', async () => {
      assert.equal(await get(), first.address);
      return (await known()).some((failures) => failures > 0);
    });
    const second = await startInstance(t, '127.0.0.3', port);
    await until('the other one answers, too', async () => (await get()) === second.address, 5_000);

    first.says = 'stopping';
    const toldAt = performance.now();
    await until('it is left', async () => {
      await Promise.all([get(), get(), get()]);
      return !(await gateway.uses('query-api-1'));
    });
    assert.ok(performance.now() - toldAt < 3_000);
    const { other } = first.asked;
    for (let i = 0; i < 50; i += 1) assert.equal(await get(), second.address);
    assert.equal(first.asked.other, other, 'not one more, on no connection');
    first.slow.release();
    assert.equal(await slow, first.address, 'what it had is answered');

    await first.close();
    names['query-api'].shift();
    for (let i = 0; i < 50; i += 1) assert.equal(await get(), second.address);
  });

  test('keeps an instance that says what it misses, and leaves one that says nothing', async (context) => {
    const t = cleanup((end) => context.after(end));
    const { gateway, first, get } = await startSite(t);
    first.says = 'unavailable';
    const { health } = first.asked;
    await until('it said so some times', () => first.asked.health > health + 6);
    assert.equal(await get(), first.address);
    first.says = 'silent';
    await until('it is left', async () => !(await gateway.uses('query-api-1')), 20_000);
    assert.equal((await fetch(`${gateway.address}/`)).status, 503);
    first.says = 'ready';
    await until('it is back', async () => gateway.uses('query-api-1'), 20_000);
    assert.equal(await get(), first.address);
  });

  test('lets go of connections that it does not use, long before an API would close them', async (context) => {
    const t = cleanup((end) => context.after(end));
    const { first, get } = await startSite(t);
    const many = Array.from({ length: 20 }, () => get('/slow'));
    await until('all of them have arrived', () => first.asked.other === many.length);
    first.slow.release();
    await Promise.all(many);
    assert.ok((await first.connections()) > many.length / 2, 'they are kept for others');
    await until('all are closed', async () => (await first.connections()) === 0, KEPT_MS / 2);
  });
});

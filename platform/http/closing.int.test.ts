/** A server that is told to close while a request is still being written: the answer is whole, and the connection's last. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, test } from 'node:test';
import { createLogger } from '../telemetry/logging.ts';
import { createServer } from './server.ts';

test('a request that was under way when the server closes is answered like any other, and no more come', async () => {
  const server = createServer({ logger: createLogger({ service: 'test', level: 'silent' }) });
  server.get('/here', async () => ({ fine: true }));
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (piece) => {
    said += piece;
  });
  await once(socket, 'connect');
  const arrived = once(server.server, 'connection');
  socket.write('GET /here HTTP/1.1\r\nHost: x\r\n');
  await Promise.race([arrived, new Promise((resolve) => setImmediate(resolve))]);
  // A whole request first: the server has seen this connection before it is told to close.
  socket.write('\r\nGET /here HTTP/1.1\r\nHost: x\r\n');
  while (!said.includes('"fine":true')) await once(socket, 'data');
  const closed = server.close();
  socket.write('\r\n');
  await once(socket, 'close');
  await closed;
  const answers = said.split('HTTP/1.1 ').slice(1);
  assert.equal(answers.length, 2);
  assert.match(answers[1]!, /^200 OK/);
  assert.match(answers[1]!, /connection: close/i);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/here`));
});

test('a server that was told to stop serves on, each answer its connection’s last', async () => {
  const stopping = new AbortController();
  const logger = createLogger({ service: 'test', level: 'silent' });
  const server = createServer({ logger, stopping: stopping.signal });
  after(() => server.close());
  server.get('/here', async () => ({ fine: true }));
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const answer = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/here`);
    await response.text();
    return [response.status, response.headers.get('connection')];
  };
  assert.deepEqual(await answer(), [200, 'keep-alive']);
  stopping.abort();
  assert.deepEqual(await answer(), [200, 'close']);
  assert.deepEqual(await answer(), [200, 'close']);
});

test('an answer that was waited for, or had begun, when the server closes keeps its connection no longer', async (t) => {
  const server = createServer({ logger: createLogger({ service: 'test', level: 'silent' }) });
  const [waiting, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  server.get('/waited-for', async () => {
    await waiting.promise;
    return { fine: true };
  });
  server.get('/begun', async (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-length': '2' }).write('a');
    await begun.promise;
    reply.raw.end('b');
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const ask = (path: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      get({ port, host: '127.0.0.1', path, agent }, resolve).on('error', reject);
    });
  const arrived = once(server.server, 'request');
  const late = ask('/waited-for');
  await arrived;
  const half = await ask('/begun');
  const closed = server.close();
  await new Promise((resolve) => setTimeout(resolve, 50)); // what is idle now is ended by now
  waiting.resolve();
  begun.resolve();
  const told = await late;
  told.resume();
  half.resume();
  assert.equal(told.headers.connection, 'close');
  const startedAt = performance.now();
  await closed;
  assert.ok(performance.now() - startedAt < 5_000);
});

test('a connection on which nothing was said keeps no server from closing, nor one that stopped amid a request', async (t) => {
  const server = createServer({ logger: createLogger({ service: 'test', level: 'silent' }) });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const open = async (text: string) => {
    const arrived = once(server.server, 'connection');
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    const ended = once(socket.resume(), 'close').then(() => performance.now());
    if (text !== '') socket.write(text);
    await arrived;
    return { ended };
  };
  const silent = await open('');
  const half = await open('GET /here HTTP/1.1\r\nHost');
  const startedAt = performance.now();
  const closed = server.close();
  assert.ok((await silent.ended) - startedAt < 3_000);
  assert.ok((await half.ended) - startedAt < 9_000);
  await closed;
});

/** Below HTTP's niceties: what arrives too slowly, too large, or not as HTTP at all. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
let stack: TestStack;
let key: string;
before(async () => {
  stack = await startTestStack(t, { headersTimeoutMs: 600, requestTimeoutMs: 900 });
  key = await stack.key('ada');
});

const open = (): Socket => connect({ host: '127.0.0.1', port: Number(new URL(stack.address).port) });

/** All that the server says until it ends the connection. */
function heard(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.on('data', (piece) => {
      text += piece;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Reset after its answer: what was said is what counts.
      if (text !== '' && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) resolve(text);
      else reject(error);
    });
    socket.on('close', () => resolve(text));
  });
}

async function say(text: string): Promise<string> {
  const socket = open();
  const answer = heard(socket);
  socket.write(text);
  return answer;
}

const head = (more: string[] = []) =>
  ['POST /ask HTTP/1.1', 'Host: x', `Authorization: Bearer ${key}`, 'Content-Type: application/json', ...more].join(
    '\r\n',
  );
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const problemOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { code: string };

describe('a request', () => {
  test('whose headers come too slowly is 408, and the connection ends', async () => {
    const answer = await say('POST /ask HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    assert.equal(statusOf(answer), 408);
    assert.equal(problemOf(answer).code, 'request_timeout');
  });

  test('whose body comes too slowly is 408, and the connection ends', async () => {
    const answer = await say(`${head(['Content-Length: 100'])}\r\n\r\n{"prompt":`);
    assert.equal(statusOf(answer), 408);
    assert.equal(problemOf(answer).code, 'request_timeout');
  });

  test('with 20 KB of headers is 431', async () => {
    const answer = await say(`${head([`X-Large: ${'x'.repeat(20_000)}`])}\r\n\r\n`);
    assert.equal(statusOf(answer), 431);
    assert.equal(problemOf(answer).code, 'headers_too_large');
  });

  test('with both Content-Length and Transfer-Encoding is 400', async () => {
    const answer = await say(`${head(['Content-Length: 5', 'Transfer-Encoding: chunked'])}\r\n\r\n0\r\n\r\n`);
    assert.equal(statusOf(answer), 400);
  });

  test('without a Host, or that is not HTTP, is 400', async () => {
    for (const text of ['GET /health HTTP/1.1\r\n\r\n', 'HELO example\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00']) {
      const answer = await say(text);
      assert.equal(statusOf(answer), 400, JSON.stringify(text));
    }
  });

  test('with a chunked body over 2 MB is 413 before all of it was sent', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const answer = await say(`${head(['Transfer-Encoding: chunked'])}\r\n\r\n${chunk.repeat(31)}`);
    assert.equal(statusOf(answer), 413);
    assert.match(answer, /"code":"payload_too_large"/);
  });

  test('that announces more than 2 MB is 413 before any of it was sent', async () => {
    const answer = await say(`${head(['Content-Length: 3000000', 'Connection: close'])}\r\n\r\n`);
    assert.equal(statusOf(answer), 413);
  });

  test('with a chunked body in pieces is taken', async () => {
    const answer = await say(
      `${head(['Transfer-Encoding: chunked', 'Connection: close'])}\r\n\r\n9\r\n{"prompt"\r\n5\r\n:"x"}\r\n0\r\n\r\n`,
    );
    assert.equal(statusOf(answer), 202, answer);
  });

  test('with Expect: 100-continue is told to go on', async () => {
    const socket = open();
    const answer = heard(socket);
    socket.write(`${head(['Content-Length: 14', 'Expect: 100-continue', 'Connection: close'])}\r\n\r\n`);
    await new Promise<void>((resolve) =>
      socket.once('data', (piece) => {
        assert.match(String(piece), /^HTTP\/1\.1 100 /);
        socket.write('{"prompt":"x"}');
        resolve();
      }),
    );
    assert.match(await answer, /HTTP\/1\.1 202 /);
  });

  test('that offers h2c is answered as HTTP/1.1', async () => {
    const answer = await say(
      'GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n',
    );
    assert.equal(statusOf(answer), 200);
  });

  test('to a parameter of 300 characters is 414, with a broken escape 400', async () => {
    const get = (path: string) =>
      say(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`);
    assert.equal(statusOf(await get(`/prompts/${'a'.repeat(300)}`)), 414);
    assert.equal(statusOf(await get('/prompts/%zz')), 400);
  });

  test('whose client leaves in the middle of its body leaves nothing in the log', async () => {
    const socket = open();
    const answer = heard(socket);
    socket.write(`${head(['Content-Length: 1000'])}\r\n\r\n{"prompt":"cut`);
    socket.end();
    await answer;
    const { rows } = await stack.database.pool.query<{ n: number }>(
      "SELECT count(*)::integer AS n FROM event WHERE data->>'prompt' LIKE 'cut%'",
    );
    assert.equal(rows[0]?.n, 0);
  });
});

test('a thousand idle connections do not keep a new one from being served', async () => {
  const idle = await Promise.all(
    Array.from(
      { length: 1_000 },
      () =>
        new Promise<Socket>((resolve, reject) => {
          const socket = open();
          socket.once('connect', () => resolve(socket));
          socket.once('error', reject);
        }),
    ),
  );
  const response = await fetch(new URL('/health', stack.address));
  assert.equal(response.status, 200);
  for (const socket of idle) socket.destroy();
});

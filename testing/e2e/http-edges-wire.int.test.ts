/** The same edge seen from the wire: what the parser refuses is a problem too, and ends the connection. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { type Answer, createProbe, listen, type Probe, parseAnswers, pointers } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
let probe: Probe;
let key: string;
before(async () => {
  stack = await startTestStack(t, { headersTimeoutMs: 600, requestTimeoutMs: 900 });
  key = await stack.key('ada');
  probe = createProbe(stack, key);
});

const BODY = '{"prompt":"x"}';
const LAST = 'Connection: close';
const head = (...more: string[]) =>
  [
    'POST /ask HTTP/1.1',
    'Host: x',
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
    ...more,
    '',
    '',
  ].join('\r\n');
const whole = (...more: string[]) => `${head(...more, `Content-Length: ${BODY.length}`)}${BODY}`;
const statuses = (answers: Answer[]) => answers.map(({ status }) => status);

/** Sends a piece every few milliseconds for as long as the server listens; true when the server ended it in time. */
async function trickle(start: string, piece: string): Promise<Answer[]> {
  const socket = probe.open();
  const heard = listen(socket);
  await once(socket, 'connect');
  socket.write(start);
  const drops = setInterval(() => socket.writable && socket.write(piece), 20);
  const cut = setTimeout(() => socket.destroy(new Error('still open after 8 seconds')), 8_000);
  try {
    return parseAnswers(await heard);
  } finally {
    clearInterval(drops);
    clearTimeout(cut);
  }
}

describe('a request that never ends', () => {
  test('is 408 though a header comes again and again', async () => {
    const [answer, ...more] = await trickle('POST /ask HTTP/1.1\r\nHost: x\r\n', 'X-Drop: 1\r\n');
    assert.deepEqual([answer?.status, answer?.body.code, more.length], [408, 'request_timeout', 0]);
    assert.equal(answer?.body.retryable, true);
    assert.equal(answer?.header('connection'), 'close');
    assert.equal(answer?.body.requestId, answer?.header('x-request-id'));
  });

  test('is 408 though its body grows by a byte, announced or in chunks', async () => {
    const announced = await trickle(`${head('Content-Length: 100000')}{"prompt":"`, 'x');
    const chunked = await trickle(`${head('Transfer-Encoding: chunked')}b\r\n{"prompt":"\r\n`, '1\r\nx\r\n');
    for (const answers of [announced, chunked]) {
      assert.deepEqual(statuses(answers), [408]);
      assert.equal(answers[0]?.header('connection'), 'close');
    }
  });

  test('of a client without a key is not waited for', async () => {
    const start = `POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n`;
    const socket = probe.open();
    const first = once(socket, 'data') as Promise<[Buffer]>;
    socket.write(start);
    assert.match(String((await first)[0]), /^HTTP\/1\.1 401 /);
    socket.destroy();
  });
});

describe('a length that is not the body’s', () => {
  test('shorter than it cuts it: what is left is no JSON, and the rest no request', async () => {
    const answers = await probe.say(`${head('Content-Length: 5')}${BODY}\r\n\r\n`);
    assert.ok(answers.length > 0);
    assert.ok(statuses(answers).every((status) => status === 400));
  });

  test('longer than what comes is 408, and nothing is accepted', async () => {
    assert.deepEqual(statuses(await probe.say(`${head('Content-Length: 15')}${BODY}`)), [408]);
  });

  for (const lengths of [['-1'], ['1e1'], ['0x0e'], ['14abc'], ['14, 14'], ['14', '15'], ['99999999999999999999999']]) {
    test(`(${lengths}) is 400`, async () => {
      const answers = await probe.say(`${head(...lengths.map((length) => `Content-Length: ${length}`))}${BODY}`);
      assert.deepEqual(statuses(answers), [400]);
      assert.equal(answers[0]?.body.retryable, false);
    });
  }

  for (const chunks of ['zz\r\n', '-1\r\n', '5\r\n{"prompt":"x"}\r\n0\r\n\r\n', 'fffffffffffffffffff\r\n']) {
    test(`of a chunk (${JSON.stringify(chunks)}) is 400`, async () => {
      assert.deepEqual(statuses(await probe.say(`${head('Transfer-Encoding: chunked')}${chunks}`)), [400]);
    });
  }

  test('hidden behind a transfer encoding is 400: no second request is smuggled in', async () => {
    const hidden = `0\r\n\r\n${whole(LAST)}`;
    for (const encoding of ['chunked', 'xchunked', 'identity', 'chunked, identity']) {
      const smuggled = head(`Content-Length: ${hidden.length}`, `Transfer-Encoding: ${encoding}`);
      assert.deepEqual(statuses(await probe.say(`${smuggled}${hidden}`)), [400], encoding);
    }
  });
});

describe('headers', () => {
  test('that are too large together, one of them, or the address, are 431', async () => {
    const many = Array.from({ length: 1_500 }, (_, i) => `X-Header-${i}: ${i}`);
    for (const request of [
      whole(...many),
      whole(`Authorization: Bearer ${'x'.repeat(1_000_000)}`),
      `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    ]) {
      const [answer] = await probe.say(request);
      assert.deepEqual([answer?.status, answer?.body.code], [431, 'headers_too_large']);
      assert.equal(answer?.header('connection'), 'close');
    }
  });

  for (const line of ['X-A: a\u0000b', 'X-A: a\u0001b', 'X A: 1', ': 1', 'X-A\u0000: 1', ' folded: 1', 'no colon']) {
    test(`(${JSON.stringify(line)}) is 400`, async () => {
      const [answer] = await probe.say(whole(line, LAST));
      assert.deepEqual([answer?.status, answer?.body.code], [400, 'invalid_request']);
    });
  }

  for (const value of ['', ' ', 'a\u0001b', 'a\u007fb', 'a\tb', 'caf\u00e9', 'x'.repeat(256), '""', 'a b']) {
    test(`Idempotency-Key (${JSON.stringify(value).slice(0, 12)}) is 400`, async () => {
      const [answer] = await probe.say(whole(`Idempotency-Key: ${value}`, LAST));
      // Node's parser refuses control characters before anybody can tell in which header they are.
      const byParser = value.includes('\u0001') || value.includes('\u007f');
      assert.equal(answer?.status, 400);
      assert.deepEqual(pointers(answer!), byParser ? [] : ['Idempotency-Key']);
    });
  }

  test('Idempotency-Key sent twice is 400, be it with the same value', async () => {
    for (const other of ['one', 'two']) {
      const [answer] = await probe.say(whole('Idempotency-Key: one', `idempotency-key: ${other}`, LAST));
      assert.equal(answer?.status, 400);
      assert.deepEqual(pointers(answer!), ['Idempotency-Key']);
    }
  });

  test('Idempotency-Key is the same with and without its quotes', async () => {
    const longest = 'k'.repeat(255);
    const [first] = await probe.say(whole(`Idempotency-Key: ${longest}`, LAST));
    const [again] = await probe.say(whole(`Idempotency-Key: "${longest}"`, LAST));
    assert.deepEqual(statuses([first!, again!]), [202, 202]);
    assert.equal(again?.header('idempotency-replayed'), 'true');
    assert.deepEqual(again?.body, first?.body);
  });

  test('traceparent that is none is not kept, one that is stays with the prompt', async () => {
    const good = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const bad = [
      'x',
      good.toUpperCase(),
      `${good}-more`,
      `ff${good.slice(2)}`,
      `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
    ];
    for (const [given, kept] of [[good, good], ...bad.map((value) => [value, null])]) {
      const [answer] = await probe.say(whole(`traceparent: ${given}`, LAST));
      assert.equal(answer?.status, 202);
      const { rows } = await stack.database.pool.query<{ traceparent: string | null }>(
        `SELECT metadata->>'traceparent' AS traceparent FROM event WHERE stream_id = $1 AND version = 1`,
        [answer?.body.id],
      );
      assert.equal(rows[0]?.traceparent, kept, `${given}`);
    }
    const [twice] = await probe.say(whole(`traceparent: ${good}`, `traceparent: ${good}`, LAST));
    assert.equal(twice?.status, 202);
  });
});

describe('what is no request of HTTP/1.1', () => {
  for (const text of [
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/9.9\r\nHost: x\r\n\r\n',
    'POST /ask HTTP/1.1 x\r\n\r\n',
    '\u0000',
  ]) {
    test(`(${JSON.stringify(text).slice(0, 20)}) is a problem of its own`, async () => {
      const answers = await probe.say(text);
      assert.deepEqual(statuses(answers), [400]);
      assert.deepEqual([answers[0]?.body.code, answers[0]?.body.retryable], ['invalid_request', false]);
      assert.equal(answers[0]?.header('connection'), 'close');
    });
  }
});

test('a WebSocket handshake that is none is a problem', async () => {
  const handshake = (...more: string[]) =>
    [
      'GET /live HTTP/1.1',
      'Host: x',
      `Authorization: Bearer ${key}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      ...more,
    ]
      .concat('', '')
      .join('\r\n');
  for (const more of [
    ['Sec-WebSocket-Version: 12', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
    ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: short'],
    ['Sec-WebSocket-Version: 13'],
  ]) {
    const [answer] = await probe.say(handshake(...more));
    assert.deepEqual([answer?.status, answer?.body.code], [400, 'invalid_request'], more.join());
    assert.match(answer?.body.detail ?? '', /Sec-WebSocket/);
  }
});

test('two requests on one connection are answered in their order, and a bad one does not end it', async () => {
  const bad = `${head('Content-Length: 2')}{}`;
  const answers = await probe.say(`${whole()}${bad}${whole(LAST)}`);
  assert.deepEqual(statuses(answers), [202, 400, 202]);
});

test('after all of it the log holds what was accepted, and every prompt of it has ended', async () => {
  assert.ok(probe.accepted.ids.length > 8);
  await probe.settle();
});

describe('noise after a good request on its connection', () => {
  test('does not take the place of its answer: who is told 400 has nothing in the log', async () => {
    const submitted = async () => {
      const { rows } = await stack.database.pool.query<{ n: number }>(
        "SELECT count(*)::integer AS n FROM event WHERE type = 'PromptSubmitted'",
      );
      return rows[0]!.n;
    };
    const before = await submitted();
    const [first] = await probe.say(`${whole()}rest of it\r\n\r\n`);
    // A connection of its own is answered after the first one's append, or not: ask until the log is quiet.
    await probe.fields({});
    const taken = (await submitted()) - before - 1;
    assert.equal(first?.status, taken === 1 ? 202 : 400);
  });

  test('is not answered in the middle of an event stream', async () => {
    const socket = probe.open();
    const heard = listen(socket);
    socket.write(`GET /live/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n\r\n`);
    await once(socket, 'data');
    socket.write('rest of it\r\n\r\n');
    const text = String(await heard);
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1, text.slice(-400));
  });
});

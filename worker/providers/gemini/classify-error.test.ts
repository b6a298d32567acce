import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { ApiError } from '@google/genai';
import { classifyError } from './classify-error.ts';

const context = {
  signal: new AbortController().signal,
  started: false,
  rawUsage: null,
  emulated: false,
  secret: 'our-own-key',
  now: new Date(),
};
const apiError = (status: number, message: string) =>
  new ApiError({ status, message: JSON.stringify({ error: { code: status, message } }) });

test('an error that repeats the API key is stored without it', () => {
  const other = `AIza${'x'.repeat(35)}`;
  const outcome = classifyError(apiError(400, `bad request for key=our-own-key and ${other}.`), context);
  assert.equal('message' in outcome && outcome.message, 'the provider answered 400: bad request for key=… and ….');
});

test('a refusal whose body has another shape is judged by its status', () => {
  const bodies: unknown[] = [
    { error: { message: { text: 'no' } } },
    { error: { details: {} } },
    { error: { details: [null] } },
    { error: { details: [{ violations: {} }] } },
    { error: { details: [{ retryDelay: 7 }] } },
    { error: 'no' },
    [1],
    null,
    7,
  ];
  for (const body of bodies) {
    const outcome = classifyError(new ApiError({ status: 429, message: JSON.stringify(body) }), context);
    assert.deepEqual(
      [outcome.type, 'code' in outcome && outcome.code, outcome.billing.known],
      ['retry', 'rate_limited', true],
      JSON.stringify(body),
    );
  }
});

test('a delay that is no number of seconds is none', () => {
  const delayed = (retryDelay: string) =>
    classifyError(
      new ApiError({ status: 429, message: JSON.stringify({ error: { details: [{ retryDelay }] } }) }),
      context,
    );
  for (const delay of [`${'9'.repeat(400)}s`, '-1s', '1e3s', 'NaNs', '7'])
    assert.ok(!('afterSeconds' in delayed(delay)), delay);
  const whole = delayed('1.5s');
  assert.equal('afterSeconds' in whole && whole.afterSeconds, 1.5);
});

test('a page of HTML from a proxy is not told to the user', () => {
  const outcome = classifyError(apiError(503, '<html>internal host 10.0.0.7</html>'), context);
  assert.equal('message' in outcome && outcome.message, 'the provider answered 503');
});

/** As fetch throws it and the SDK wraps it. */
const wrapped = (cause: unknown) =>
  new Error('exception TypeError: fetch failed sending request', { cause: new TypeError('fetch failed', { cause }) });
const fault = (code: string, syscall?: string, message = `${syscall} ${code}`) =>
  Object.assign(new Error(message), { code, ...(syscall && { syscall }) });
const short = (error: unknown, started = false) => {
  const outcome = classifyError(error, { ...context, started });
  return `${outcome.type} ${'code' in outcome && outcome.code} ${outcome.billing.known ? 'free' : 'unknown'}`;
};

describe('a fault before anything was sent is free and tried again:', () => {
  const unsent = [
    ...['ECONNREFUSED', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'ENOBUFS'],
    ...['EMFILE', 'ENFILE', 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'UND_ERR_CONNECT_TIMEOUT'],
    ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN'],
    ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ...['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
  ];
  for (const code of unsent) {
    test(code, () => {
      assert.equal(short(wrapped(fault(code))), 'retry provider_unreachable free');
      assert.equal(short(wrapped(fault(code)), true), 'unknown connection_lost unknown', 'the answer had begun');
    });
  }
  test('ETIMEDOUT of connect, EMFILE of getaddrinfo, ETIMEOUT of a query', () => {
    for (const [code, syscall] of [
      ['ETIMEDOUT', 'connect'],
      ['EMFILE', 'getaddrinfo'],
      ['ETIMEOUT', 'queryA'],
    ] as const) {
      assert.equal(short(wrapped(fault(code, syscall))), 'retry provider_unreachable free');
    }
  });
  test('every address of the host failed', () => {
    const both = new AggregateError([fault('ENETUNREACH', 'connect'), fault('ETIMEDOUT', 'connect')], '');
    assert.equal(short(wrapped(both)), 'retry provider_unreachable free');
  });
});

describe('a connection that broke may have carried the request, its cost is unknown:', () => {
  for (const code of ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT']) {
    test(code, () => {
      assert.equal(short(wrapped(fault(code, 'read'))), 'unknown connection_lost unknown');
    });
  }
  test('ERR_SSL_ after the handshake', () => {
    const code = 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC';
    assert.equal(short(wrapped(fault(code))), 'unknown connection_lost unknown');
  });
  test('one of a host’s addresses took it', () => {
    const both = new AggregateError([fault('ECONNREFUSED', 'connect'), fault('ECONNRESET', 'read')], '');
    assert.equal(short(wrapped(both)), 'unknown connection_lost unknown');
  });
});

describe('fetch itself says so when', () => {
  const thrown = async (onData: (socket: Socket) => void, scheme: string): Promise<unknown> => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => onData(socket));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      return await fetch(`${scheme}://127.0.0.1:${port}`).then(
        () => null,
        (error) => error,
      );
    } finally {
      server.close();
    }
  };
  test('the server does not speak TLS', async () => {
    assert.equal(
      short(await thrown((socket) => socket.end('HTTP/1.1 400\r\n\r\n'), 'https')),
      'retry provider_unreachable free',
    );
  });
  test('the server closes within the handshake', async () => {
    assert.equal(short(await thrown((socket) => socket.end(), 'https')), 'retry provider_unreachable free');
  });
  test('the server closes after the request: that was sent', async () => {
    assert.equal(short(await thrown((socket) => socket.end(), 'http')), 'unknown connection_lost unknown');
  });
});

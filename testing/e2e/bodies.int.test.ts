/** What `POST /ask` refuses, and that nothing invalid reaches the log. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Problem } from '../../contracts/http/problem.ts';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
let stack: TestStack;
let key: string;
let accepted = 0;
before(async () => {
  stack = await startTestStack(t);
  key = await stack.key('ada');
});

type Answer = { status: number; headers: Headers; body: Problem & { id?: string } };
type Sent = { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string>; path?: string };

async function post({ body, headers = {}, path = '/ask' }: Sent): Promise<Answer> {
  const response = await fetch(new URL(path, stack.address), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body }),
  });
  const answer = {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Answer['body'],
  };
  if (path === '/ask' && response.status === 202) accepted += 1;
  if (response.status >= 400) {
    assert.equal(response.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    assert.equal(answer.body.status, response.status);
    assert.equal(answer.body.requestId, response.headers.get('x-request-id'));
    assert.equal(typeof answer.body.retryable, 'boolean');
    assert.match(answer.body.code, /^[a-z_]+$/);
  }
  return answer;
}
const ask = (fields: object) => post({ body: JSON.stringify({ prompt: 'hello', ...fields }) });
const pointers = (answer: Answer) => (answer.body.errors ?? []).map(({ pointer }) => pointer).sort();

describe('a body that is not what it should be', () => {
  const cases: [name: string, sent: Sent, status: number][] = [
    ['none at all', {}, 400],
    ['empty', { body: '' }, 400],
    ['broken JSON', { body: '{"prompt": "x"' }, 400],
    ['two JSON values', { body: '{"prompt":"x"} {}' }, 400],
    ['an array', { body: '[{"prompt":"x"}]' }, 400],
    ['null', { body: 'null' }, 400],
    ['a string', { body: '"hello"' }, 400],
    ['a number', { body: '7' }, 400],
    ['no fields', { body: '{}' }, 400],
    [
      'bytes that are not UTF-8',
      { body: new Uint8Array([...Buffer.from('{"prompt":"'), 0xc3, 0x28, 0x22, 0x7d]) },
      400,
    ],
    ['10,000 levels deep', { body: `{"prompt":"x","metadata":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}` }, 400],
    ['30,000 nested arrays', { body: `{"prompt":${'['.repeat(30_000)}${']'.repeat(30_000)}}` }, 400],
    ['__proto__', { body: '{"prompt":"x","__proto__":{"isAdmin":true}}' }, 400],
    ['constructor in metadata', { body: '{"prompt":"x","metadata":{"constructor":"x"}}' }, 400],
    ['over 2 MB', { body: JSON.stringify({ prompt: 'x', system: 'y'.repeat(2_000_001) }) }, 413],
    ['text/plain', { body: '{"prompt":"x"}', headers: { 'content-type': 'text/plain' } }, 415],
    ['XML', { body: '<prompt/>', headers: { 'content-type': 'application/xml' } }, 415],
    ['a form', { body: 'prompt=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415],
    ['compressed', { body: '{"prompt":"x"}', headers: { 'content-encoding': 'gzip' } }, 415],
    [
      'a charset other than UTF-8',
      { body: '{"prompt":"x"}', headers: { 'content-type': 'application/json; charset=utf-16' } },
      415,
    ],
  ];
  for (const [name, sent, status] of cases) {
    test(`(${name}) is ${status}`, async () => {
      const answer = await post(sent);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
    });
  }

  test('is JSON with a charset in any spelling, all the same', async () => {
    for (const type of ['application/json; charset=utf-8', 'application/json;charset=UTF-8', 'Application/JSON']) {
      const answer = await post({ body: '{"prompt":"x"}', headers: { 'content-type': type } });
      assert.equal(answer.status, 202, `${type}: ${JSON.stringify(answer.body)}`);
    }
  });
});

describe('a field', () => {
  const cases: [name: string, fields: Record<string, unknown>, pointer: string][] = [
    ['a number for a string', { prompt: 123 }, '/prompt'],
    ['an array for a string', { prompt: ['x'] }, '/prompt'],
    ['null for a string', { prompt: null }, '/prompt'],
    ['an empty prompt', { prompt: '' }, '/prompt'],
    ['a prompt of 100,001 characters', { prompt: 'x'.repeat(100_001) }, '/prompt'],
    ['a string for a number', { temperature: '1' }, '/temperature'],
    ['true for a number', { temperature: true }, '/temperature'],
    ['a temperature below 0', { temperature: -0.1 }, '/temperature'],
    ['a temperature above 2', { temperature: 2.1 }, '/temperature'],
    ['no output tokens', { maxOutputTokens: 0 }, '/maxOutputTokens'],
    ['half a token', { maxOutputTokens: 1.5 }, '/maxOutputTokens'],
    ['more tokens than any model has', { maxOutputTokens: 1e300 }, '/maxOutputTokens'],
    ['an unknown lane', { lane: 'fast' }, '/lane'],
    ['a lane in capitals', { lane: 'BATCH' }, '/lane'],
    ['an unknown retry policy', { retry: 'always' }, '/retry'],
    ['an unknown mode', { mode: 'chat' }, '/mode'],
    ['a conversation that is no UUID', { conversationId: 'c1' }, '/conversationId'],
    ['a time without an offset', { notBefore: '2027-01-01T00:00:00' }, '/notBefore'],
    ['a date', { notBefore: '2027-01-01' }, '/notBefore'],
    ['a day that is none', { notBefore: '2027-02-30T00:00:00Z' }, '/notBefore'],
    ['a leap second', { notBefore: '2026-12-31T23:59:60Z' }, '/notBefore'],
    ['year 0', { notBefore: '0000-01-01T00:00:00Z' }, '/notBefore'],
    ['year 9999', { notBefore: '9999-12-31T23:59:59-10:00' }, '/notBefore'],
    ['an expiry in the past', { expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
    [
      'an expiry before its start',
      { notBefore: '2190-01-02T00:00:00Z', expiresAt: '2190-01-01T00:00:00Z' },
      '/expiresAt',
    ],
    ['metadata that is a list', { metadata: ['a'] }, '/metadata'],
    ['a number in metadata', { metadata: { a: 1 } }, '/metadata/a'],
    [
      '17 entries of metadata',
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) },
      '/metadata',
    ],
    ['an unknown field', { promt: 'x' }, '/promt'],
    ['U+0000', { prompt: 'a\u0000b' }, '/prompt'],
    ['a lone surrogate', { system: 'a\ud800' }, '/system'],
    ['U+0000 in metadata', { metadata: { a: '\u0000' } }, '/metadata/a'],
    ['a lone surrogate in a metadata key', { metadata: { 'k\udfff': 'v' } }, '/metadata/k\ufffd'],
    ['research mode', { mode: 'research' }, '/mode'],
    ['a model nobody serves', { model: 'gpt-9' }, '/model'],
  ];
  for (const [name, fields, pointer] of cases) {
    test(`(${name}) is refused, and the fault points at it`, async () => {
      const answer = await ask(fields);
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.deepEqual([...new Set(pointers(answer))], [pointer], JSON.stringify(answer.body));
    });
  }

  test('at its limit is taken', async () => {
    const limits = [
      { prompt: 'x'.repeat(100_000) },
      { prompt: '😀'.repeat(100_000) }, // code points, not UTF-16 units
      { temperature: 0 },
      { temperature: 2 },
      { maxOutputTokens: 1 },
      { metadata: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, 'v'])) },
      { notBefore: '2020-01-01T00:00:00+05:30' },
      { prompt: '\u0001\u2028</script>\u202e\ufeff' },
    ];
    for (const fields of limits) {
      const answer = await ask(fields);
      assert.equal(answer.status, 202, JSON.stringify([fields, answer.body]).slice(0, 400));
    }
  });

  test('is one of many: all faults are told at once', async () => {
    const answer = await ask({ prompt: 5, temperature: 'hot', lane: 'x', metadata: { a: 1 }, nonsense: true });
    assert.equal(answer.status, 400);
    assert.deepEqual(pointers(answer), ['/lane', '/metadata/a', '/nonsense', '/prompt', '/temperature']);
    assert.equal(answer.body.code, 'invalid_request');
    assert.equal(answer.body.retryable, false);
  });

  test('of the wrong model or mode has a code of its own', async () => {
    assert.equal((await ask({ model: 'gpt-9' })).body.code, 'unknown_model');
    assert.equal((await ask({ mode: 'research' })).body.code, 'not_available');
  });
});

describe('a header', () => {
  test('Idempotency-Key that is empty, too long or not ASCII is 400', async () => {
    for (const value of ['', 'x'.repeat(256), 'a b', 'é']) {
      const answer = await post({ body: '{"prompt":"x"}', headers: { 'idempotency-key': value } });
      assert.equal(answer.status, 400, `${value}: ${JSON.stringify(answer.body)}`);
      assert.deepEqual(pointers(answer), ['Idempotency-Key']);
    }
  });

  test('traceparent that makes no sense is ignored', async () => {
    for (const value of [
      'nonsense',
      `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`,
      `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    ]) {
      const answer = await post({ body: '{"prompt":"x"}', headers: { traceparent: value } });
      assert.equal(answer.status, 202);
    }
  });

  test('x-request-id is taken over when it is harmless, and never otherwise', async () => {
    const own = await post({ body: '{', headers: { 'x-request-id': 'abc-123' } });
    assert.equal(own.body.requestId, 'abc-123');
    const hostile = await post({ body: '{', headers: { 'x-request-id': '<script>' } });
    assert.notEqual(hostile.body.requestId, '<script>');
  });
});

describe('cancel and retry', () => {
  const id = '019aaf00-0000-7000-8000-000000000000';
  test('of an unknown prompt are 404, of no UUID 400', async () => {
    for (const verb of ['cancel', 'retry']) {
      assert.equal((await post({ path: `/prompts/${id}/${verb}`, body: '{}' })).status, 404);
      assert.equal((await post({ path: `/prompts/1/${verb}`, body: '{}' })).status, 400);
    }
  });

  test('need no body, and take no junk', async () => {
    const bare = (verb: string) =>
      fetch(new URL(`/prompts/${id}/${verb}`, stack.address), {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
      });
    for (const verb of ['cancel', 'retry']) {
      assert.equal((await bare(verb)).status, 404, verb);
      assert.equal((await post({ path: `/prompts/${id}/${verb}` })).status, 404, `${verb}, with a content type`);
    }
    assert.equal((await post({ path: `/prompts/${id}/retry`, body: '{"reasons":"x"}' })).status, 400);
    assert.equal((await post({ path: `/prompts/${id}/retry`, body: '[]' })).status, 400);
    assert.equal((await post({ path: `/prompts/${id}/cancel`, body: '{"x":1}' })).status, 400);
  });
});

test('after all of it the log holds what was accepted, and nothing else', async () => {
  const { rows } = await stack.database.pool.query<{ submitted: number }>(
    "SELECT count(*)::integer AS submitted FROM event WHERE type = 'PromptSubmitted'",
  );
  assert.ok(accepted > 10);
  assert.equal(rows[0]?.submitted, accepted);
});

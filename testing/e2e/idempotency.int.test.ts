/** What is sent again under its Idempotency-Key is answered as the first time, whatever has changed since. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
const ASKED = 'gemini-2.5-pro';
let stack: TestStack;
/** The same deployment after a restart that serves less. */
let since: TestStack;
let key: string;
before(async () => {
  stack = await startTestStack(t);
  const { database, redis } = stack;
  const env = { MODELS: 'gemini-2.5-flash', DEFAULT_MODEL: 'gemini-2.5-flash' };
  since = await startTestStack(t, { database, redis, env });
  key = await stack.key('ada');
});

async function ask(stack: TestStack, idempotencyKey: string | null, body: object) {
  const response = await fetch(new URL('/ask', stack.address), {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(idempotencyKey && { 'idempotency-key': idempotencyKey }),
    },
    body: JSON.stringify(body),
  });
  const { id, code } = (await response.json()) as { id?: string; code?: string };
  return { status: response.status, id, code, replayed: response.headers.get('idempotency-replayed') };
}

describe('an ask that is sent again', () => {
  test('is answered as before though its model is served no more', async () => {
    const body = { prompt: 'why?', model: ASKED };
    const first = await ask(stack, 'kept', body);
    assert.equal(first.status, 202);
    assert.deepEqual(await ask(since, 'kept', body), { ...first, code: undefined, replayed: 'true' });
    assert.deepEqual(await ask(since, 'kept', { ...body, prompt: 'how?' }), {
      status: 422,
      id: undefined,
      code: 'idempotency_key_reused',
      replayed: null,
    });
  });

  test('for the first time is refused where its model is not served', async () => {
    const body = { prompt: 'why?', model: ASKED };
    for (const idempotencyKey of [null, 'new']) {
      const { status, code } = await ask(since, idempotencyKey, body);
      assert.deepEqual([status, code], [400, 'unknown_model']);
    }
  });

  test('is another one when it says what was left to a default', async () => {
    const first = await ask(stack, 'as-sent', { prompt: 'why?' });
    assert.equal(first.status, 202);
    const { status, code } = await ask(stack, 'as-sent', { prompt: 'why?', retry: 'auto' });
    assert.deepEqual([status, code], [422, 'idempotency_key_reused']);
    assert.equal((await ask(stack, 'as-sent', { prompt: 'why?' })).id, first.id);
  });
});

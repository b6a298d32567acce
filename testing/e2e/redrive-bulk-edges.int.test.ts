/** Odd bodies of a bulk redrive, and a log that takes no more. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { createProbe, type Probe, pointers } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
let probe: Probe;
let failed: string;
before(async () => {
  stack = await startTestStack(t);
  probe = createProbe(stack, await stack.key('ada'));
  failed = (await probe.ask('{"prompt":"x [[emulate {\\"fault\\":\\"safety\\"}]]"}')).body.id!;
  await probe.send('GET', `/prompts/${failed}?wait=10`);
});
const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  probe.send('POST', '/prompts/retry', { body, headers });

describe('a body', () => {
  const reason = 'why';
  const cases: [body: object, at: string[]][] = [
    [{}, ['/filter', '/reason']],
    [{ reason }, ['/filter']],
    [{ filter: {} }, ['/reason']],
    [{ filter: null, reason: null }, ['/filter', '/reason']],
    [{ filter: [], reason: '' }, ['/filter', '/reason']],
    [{ filter: {}, reason: 'x'.repeat(1_025) }, ['/reason']],
    [{ filter: {}, reason: 'a\u0000' }, ['/reason']],
    [{ filter: { status: 'failed' }, reason }, ['/filter/status']],
    [{ filter: {}, reason, dryrun: true }, ['/dryrun']],
    [{ filter: {}, reason, dryRun: 'yes' }, ['/dryRun']],
    [{ filter: {}, reason, limit: 0 }, ['/limit']],
    [{ filter: {}, reason, limit: 1_001 }, ['/limit']],
    [{ filter: {}, reason, limit: 1.5 }, ['/limit']],
    [{ filter: {}, reason, limit: '10' }, ['/limit']],
    [{ filter: { model: '', code: 5 }, reason }, ['/filter/code', '/filter/model']],
    [{ filter: { model: 'a\u0000' }, reason }, ['/filter/model']],
    [{ filter: { conversationId: 'x' }, reason }, ['/filter/conversationId']],
    [{ filter: { from: 'today', to: '2027-02-30T00:00:00Z' }, reason }, ['/filter/from', '/filter/to']],
    [{ filter: { userId: 'ada' }, reason }, ['/filter/userId']],
    [{ filter: { userId: '' }, reason }, ['/filter/userId']],
  ];
  for (const [body, at] of cases) {
    test(`${JSON.stringify(body).slice(0, 70)} is 400, and the fault names the field`, async () => {
      const answer = await post(JSON.stringify(body));
      assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], answer.text);
      assert.deepEqual(pointers(answer), at, answer.text);
    });
  }

  test('that is none, or no JSON, is refused', async () => {
    for (const body of ['[]', 'null', '"x"', '{', '{"reason":"a","reason":"b","filter":{}}']) {
      assert.equal((await post(body)).status, 400, body);
    }
    assert.equal((await probe.send('POST', '/prompts/retry')).status, 400);
    assert.equal((await post('{}', { 'content-type': 'text/plain' })).status, 415);
  });

  test('of junk changed nothing; at its limits it is taken', async () => {
    const path = `/prompts/${failed}`;
    assert.match((await probe.send('GET', path)).text, /"failed"/);
    const times = { from: '0000-01-01T00:00:00Z', to: '9999-12-31T23:59:59.999-23:59' };
    const most = { ...times, model: 'm'.repeat(128), code: 'c'.repeat(64) };
    for (const filter of [most, { from: times.to, to: times.from }, { code: "' OR true --" }]) {
      const answer = await post(JSON.stringify({ filter, reason: 'r'.repeat(1_024), limit: 1_000 }));
      assert.equal(answer.status, 202, answer.text);
      assert.deepEqual(JSON.parse(answer.text), { matched: 0, requeued: 0, skipped: [], more: false });
    }
    const taken = await post(JSON.stringify({ filter: times, reason: 'r', limit: 1 }));
    assert.deepEqual(JSON.parse(taken.text), { matched: 1, requeued: 1, skipped: [], more: false });
  });
});

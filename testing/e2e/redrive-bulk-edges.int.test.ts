/** Odd bodies of a bulk redrive, and a log that takes no more. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createGeminiProvider } from '../../worker/providers/gemini/gemini.ts';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { createProbe, type Probe, pointers } from './http-edges-probe.ts';
import { failMany, requeuesOf } from './redrive-bulk-prompts.ts';

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

test('a full queue of appends is 503 as for one; called again, it comes to the end and sends none twice', async () => {
  const { database, redis, emulator } = stack;
  const provider = createGeminiProvider({ apiKey: 'k', baseUrl: emulator.url, emulated: true, now: () => new Date() });
  await failMany(await stack.client('bob'), 30);
  const narrow = await startTestStack(t, { database, redis, provider, env: { APPEND_QUEUE_LIMIT: '2' } });
  const bob = createProbe(narrow, await stack.key('bob'));
  const body = JSON.stringify({ filter: {}, reason: 'why' });
  const bulk = () => bob.send('POST', '/prompts/retry', { body, headers: { 'content-type': 'application/json' } });

  // One append waits for the lock and two behind it: the others are refused.
  const lock = await database.pool.connect();
  await lock.query('BEGIN; SELECT position FROM log_head FOR UPDATE');
  const full = bulk();
  try {
    await until('an append waits for the log', async () => {
      const { rows } = await database.pool.query(
        `SELECT FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%append_events%'`,
      );
      return rows.length > 0;
    });
  } finally {
    await lock.query('COMMIT');
    lock.release();
  }
  const answer = await full;
  assert.deepEqual([answer.status, answer.body.code, answer.header('retry-after')], [503, 'overloaded', '1']);
  const sentAgain = await requeuesOf(database.pool, 'bob');
  assert.ok(sentAgain.length > 0 && sentAgain.length < 30, `${sentAgain.length}`);

  await until('none is left', async () => {
    const { status, text } = await bulk();
    return status === 202 && (JSON.parse(text) as { matched: number }).matched === 0;
  });
  assert.deepEqual(
    await requeuesOf(database.pool, 'bob'),
    Array.from({ length: 30 }, () => 1),
  );
});

/** Calls that outlive their lease or their prompt: what they bring is used or counted. Two workers of one slot each. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { RecordedEvent } from '../contracts/envelope.ts';
import { fold } from '../contracts/prompt/state.ts';
import { readStreams } from '../platform/postgres/read.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { startTestStack, type TestStack } from '../testing/kit/stack.ts';
import { until } from '../testing/kit/until.ts';
import { billed, type Call, callOf, completed, createScript } from '../testing/kit/worker-rig.ts';
import type { Outcome } from './providers/provider.ts';

/** Of `billed` for gemini-2.5-flash. */
const NANO_USD = 10 * 300 + 6 * 2_500;
const failed: Outcome = {
  type: 'failed',
  code: 'x',
  message: '',
  finishReason: null,
  billing: billed,
  emulated: false,
};

const t = cleanup(after);
let ending = false;
const script = createScript(() => (ending ? completed() : undefined));
const endAll = () => {
  for (const call of script.calls) call.end(completed());
};
/** What a failed test left held would keep the slots from the next. */
afterEach(endAll);
let stack: TestStack;
let ada: Awaited<ReturnType<TestStack['client']>>;
before(async () => {
  const env = { LEASE_SECONDS: '1', NUMBER_OF_WORKERS: '1', RETRY_BASE_SECONDS: '0' };
  stack = await startTestStack(t, { provider: script.provider, env });
  const { database, redis } = stack;
  await startTestStack(t, { provider: script.provider, env, database, redis });
  ada = await stack.client('ada');
  t.after(async () => {
    ending = true;
    endAll();
  });
});

const events = async (id: string): Promise<RecordedEvent[]> =>
  (await readStreams(stack.database.pool, [id])).get(id) ?? [];
const types = async (id: string) => (await events(id)).map(({ type }) => type);
const gone = (id: string) =>
  until('its row is gone', async () => {
    const { rowCount } = await stack.database.pool.query('SELECT 1 FROM outbox WHERE prompt_id = $1', [id]);
    return rowCount === 0;
  });

/** Its worker may not renew its lease, until another worker has taken the prompt over. */
async function takenOver(): Promise<{ id: string; first: Call; second: Call }> {
  const { id } = await ada.ask({ prompt: 'who answers?', model: 'gemini-2.5-flash' });
  const first = await callOf(script, id);
  const renewal = 'EXECUTE ON FUNCTION renew_leases_v1(uuid[], uuid[], double precision)';
  await stack.database.pool.query(`REVOKE ${renewal} FROM prompt_app`);
  try {
    return { id, first, second: await callOf(script, id, 2) };
  } finally {
    await stack.database.pool.query(`GRANT ${renewal} TO prompt_app`);
  }
}

describe('an attempt whose lease was lost to another worker', () => {
  test('is recorded as unknown with its bound, and goes on', async () => {
    const { id, first, second } = await takenOver();
    assert.deepEqual(
      [first, second].map(({ request }) => request.attemptId),
      [`${id}/1`, `${id}/2`],
    );
    const [, , lost] = await events(id);
    assert.ok(lost?.type === 'AttemptFailed');
    assert.deepEqual([lost.data.end, lost.data.nanoUsd], ['lost', null]);
    assert.ok(lost.data.boundNanoUsd !== null && lost.data.boundNanoUsd > 0);
    second.end(completed('of the second'));
    assert.equal((await ada.prompt(id, { wait: 10 })).answer, 'of the second');
    assert.deepEqual([first.signal.aborted, second.signal.aborted], [false, false]);
    first.end(failed);
  });

  test('and answers first completes the prompt; the other is told to stop and its cost is counted', async () => {
    const { id, first, second } = await takenOver();
    first.end(completed('late, but first'));
    const prompt = await ada.prompt(id, { wait: 10 });
    assert.deepEqual([prompt.status, prompt.answer, prompt.cost?.nanoUsd], ['completed', 'late, but first', NANO_USD]);
    await until('the second is aborted', () => second.signal.aborted);
    assert.equal(second.signal.reason, 'cancelled');
    second.end(completed('no longer wanted'));
    await gone(id);
    const [, , , , answered, discarded, ...more] = await events(id);
    assert.ok(answered?.type === 'PromptCompleted' && discarded?.type === 'AttemptDiscarded');
    assert.deepEqual([answered.data.attempt, discarded.data.attempt, more], [1, 2, []]);
    assert.equal(discarded.data.nanoUsd, NANO_USD);
  });

  test('and fails late brings nothing but its cost', async () => {
    const { id, first, second } = await takenOver();
    first.end(failed);
    const discarded = await until('the late word is on record', async () => (await events(id))[4]);
    assert.ok(discarded.type === 'AttemptDiscarded');
    assert.deepEqual([discarded.data.attempt, discarded.data.code, discarded.data.nanoUsd], [1, 'x', NANO_USD]);
    assert.equal(fold(await events(id))?.status, 'running');
    second.end(completed('of the second'));
    assert.equal((await ada.prompt(id, { wait: 10 })).answer, 'of the second');
    await gone(id);
    assert.equal((await types(id)).at(-1), 'PromptCompleted');
  });

  test('and answers after the prompt is done is counted, and the answer stays', async () => {
    const { id, first, second } = await takenOver();
    second.end(completed('of the second'));
    await gone(id);
    first.end(completed('too late'));
    const discarded = await until('the late word is on record', async () => (await events(id))[5]);
    assert.ok(discarded.type === 'AttemptDiscarded');
    assert.deepEqual(
      [discarded.data.attempt, discarded.data.code, discarded.data.nanoUsd],
      [1, 'late_answer', NANO_USD],
    );
    assert.equal((await ada.prompt(id, { wait: 10 })).answer, 'of the second');
  });
});

describe('a cancelled prompt', () => {
  test('has its call aborted, and its cost recorded', async () => {
    const { id } = await ada.ask({ prompt: 'never mind', model: 'gemini-2.5-flash' });
    const call = await callOf(script, id);
    await ada.cancel(id);
    await until('the call is aborted', () => call.signal.aborted);
    assert.equal(call.signal.reason, 'cancelled');
    call.end({ ...failed, type: 'unknown', code: 'aborted' } as Outcome);
    await gone(id);
    const [, , cancelled, discarded, ...more] = await events(id);
    assert.ok(cancelled?.type === 'PromptCancelled' && discarded?.type === 'AttemptDiscarded');
    assert.deepEqual([discarded.data.code, discarded.data.nanoUsd, more], ['aborted', NANO_USD, []]);
    assert.equal(fold(await events(id))?.status, 'cancelled');
    assert.equal(script.of(id).length, 1);
  });
});

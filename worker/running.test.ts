import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRunning, type RunningAttempt } from './running.ts';

const attempt = (token: string): RunningAttempt => ({
  promptId: `prompt of ${token}`,
  token,
  entryId: '1-0',
  controller: new AbortController(),
});

/** Whether a promise has resolved by now, after all that is due was run. */
async function resolved(promise: Promise<void>): Promise<boolean> {
  let done = false;
  const seen = promise.then(() => {
    done = true;
  });
  await Promise.race([seen, new Promise((resolve) => setImmediate(resolve))]);
  return done;
}

describe('slots', () => {
  test('are taken before anything runs and given back in any portions', () => {
    const running = createRunning(3);
    assert.deepEqual([running.slots, running.free, running.count], [3, 3, 0]);
    running.reserve(3);
    assert.deepEqual([running.free, running.count], [0, 0]);
    running.release(2);
    assert.equal(running.free, 2);
    running.reserve(1);
    running.release(2);
    assert.equal(running.free, 3);
  });

  test('wake whoever waits for a free one, each waiter, at the first that comes free', async () => {
    const running = createRunning(2);
    assert.equal(await resolved(running.whenFree()), true);
    running.reserve(2);
    const waiters = [running.whenFree(), running.whenFree()];
    for (const waiter of waiters) assert.equal(await resolved(waiter), false);
    running.release(1);
    for (const waiter of waiters) assert.equal(await resolved(waiter), true);
  });

  test('are idle when all are given back, not before', async () => {
    const running = createRunning(2);
    assert.equal(await resolved(running.whenIdle()), true);
    running.reserve(2);
    const idle = running.whenIdle();
    running.release(1);
    assert.equal(await resolved(idle), false);
    running.release(1);
    assert.equal(await resolved(idle), true);
  });
});

describe('running attempts', () => {
  test('are known by their token and counted', () => {
    const running = createRunning(2);
    const [one, two] = [attempt('one'), attempt('two')];
    running.add(one);
    running.add(two);
    assert.deepEqual([running.count, running.all()], [2, [one, two]]);
    running.remove(one);
    running.remove(one);
    assert.deepEqual([running.count, running.all()], [1, [two]]);
  });

  test('of one prompt are told apart: an abort ends one attempt, with its reason', () => {
    const running = createRunning(2);
    const [older, newer] = [attempt('older'), { ...attempt('newer'), promptId: 'prompt of older' }];
    running.add(older);
    running.add(newer);
    running.abort('older', 'cancelled');
    assert.deepEqual([older.controller.signal.aborted, older.controller.signal.reason], [true, 'cancelled']);
    assert.equal(newer.controller.signal.aborted, false);
  });

  test('that are gone are aborted no more', () => {
    const running = createRunning(1);
    const gone = attempt('gone');
    running.add(gone);
    running.remove(gone);
    running.abort('gone', 'cancelled');
    running.abort('never was', 'cancelled');
    assert.equal(gone.controller.signal.aborted, false);
  });
});

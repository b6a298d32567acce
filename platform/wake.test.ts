import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWake } from './wake.ts';

/** Whether it is settled by the time that everything already due has run. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

test('a wait ends when it is rung', async () => {
  const wake = createWake();
  const wait = wake.wait(60_000);
  assert.equal(await isDone(wait), false);
  wake.ring();
  assert.equal(await isDone(wait), true);
});

test('a ring between two waits is not lost, and counts once', async () => {
  const wake = createWake();
  wake.ring();
  wake.ring();
  assert.equal(await isDone(wake.wait(60_000)), true);
  const second = wake.wait(60_000);
  assert.equal(await isDone(second), false);
  wake.ring();
  await second;
});

test('a wait ends by itself when its time is over', async () => {
  await createWake().wait(1);
});

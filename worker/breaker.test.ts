import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BREAKER, type BreakerOptions, createBreaker } from './breaker.ts';

const options: BreakerOptions = { prompts: 3, silentMs: 1_000, forgetMs: 5_000, parkSeconds: 1, parkCapSeconds: 4 };

/** Every call of another prompt, unless one is named. */
function breaker(over: BreakerOptions = options) {
  const { record } = createBreaker(over);
  let n = 0;
  const next = () => {
    n += 1;
    return `p-${n}`;
  };
  const call =
    (failed: boolean) =>
    (atMs: number, promptId = next(), model = 'm') =>
      record({ model, promptId, failed, atMs });
  return { fail: call(true), answer: call(false) };
}

describe('a breaker', () => {
  test('opens after enough prompts failed in a row and enough time without a success, not before', () => {
    const { fail } = breaker();
    assert.deepEqual(
      [0, 1, 2, 3, 999].map((at) => fail(at)),
      [null, null, null, null, null],
    );
    assert.equal(fail(1_000), 1);
    const few = breaker();
    assert.deepEqual(
      [0, 4_000].map((at) => few.fail(at)),
      [null, null],
    );
    assert.equal(few.fail(4_001), 1);
  });

  test('does not open for a few prompts that fail again and again', () => {
    const { fail } = breaker();
    for (let at = 0; at < 20_000; at += 100) assert.equal(fail(at, `p-${(at / 100) % 2}`), null);
  });

  test('forgets failures that are long ago', () => {
    const { fail } = breaker();
    for (const at of [0, 1, 2, 3]) fail(at);
    assert.equal(fail(5_004), null, 'hours later one failure is one failure');
    for (const at of [5_500, 6_000]) assert.equal(fail(at), null);
    assert.equal(fail(6_100), 1);
  });

  test('parks for longer each time, up to a cap, and not again while it is parked', () => {
    const { fail } = breaker();
    for (const at of [0, 1, 2]) fail(at);
    assert.equal(fail(1_000), 1);
    assert.equal(fail(1_999), null);
    assert.equal(fail(2_000), 2);
    assert.equal(fail(4_000), 4);
    assert.equal(fail(8_000), 4);
  });

  test('is closed by one success', () => {
    const { fail, answer } = breaker();
    for (const at of [0, 1, 2]) fail(at);
    assert.equal(answer(900), null);
    for (const at of [1_000, 1_500, 1_900]) assert.equal(fail(at), null);
    assert.equal(fail(2_000), 1);
  });

  test('knows models apart', () => {
    const { fail } = breaker();
    for (const at of [0, 1, 2]) fail(at);
    assert.equal(fail(1_000, 'x', 'other'), null);
    assert.equal(fail(1_000), 1);
  });

  test('leaves a hundred prompts that all fail at once to their four attempts', () => {
    const { fail } = breaker(BREAKER);
    // 1 + 2 + 4 s of backoff at most: all 400 attempts are over before it may open.
    for (let i = 0; i < 400; i += 1) assert.equal(fail((i * 9_000) / 400), null);
    assert.ok(BREAKER.silentMs > 9_000);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BREAKER, createBreaker } from './breaker.ts';

const options = { failures: 3, silentMs: 1_000, parkSeconds: 1, parkCapSeconds: 4 };

describe('a breaker', () => {
  test('opens after enough failures in a row and enough time without a success, not before', () => {
    const { record } = createBreaker(options);
    assert.deepEqual(
      [0, 1, 2, 3, 999].map((at) => record('m', true, at)),
      [null, null, null, null, null],
    );
    assert.equal(record('m', true, 1_000), 1);
    const few = createBreaker(options);
    assert.deepEqual(
      [0, 5_000].map((at) => few.record('m', true, at)),
      [null, null],
    );
    assert.equal(few.record('m', true, 5_001), 1);
  });

  test('parks for longer each time, up to a cap, and not again while it is parked', () => {
    const { record } = createBreaker(options);
    for (const at of [0, 1, 2]) record('m', true, at);
    assert.equal(record('m', true, 1_000), 1);
    assert.equal(record('m', true, 1_999), null);
    assert.equal(record('m', true, 2_000), 2);
    assert.equal(record('m', true, 4_000), 4);
    assert.equal(record('m', true, 8_000), 4);
  });

  test('is closed by one success', () => {
    const { record } = createBreaker(options);
    for (const at of [0, 1, 2]) record('m', true, at);
    assert.equal(record('m', false, 900), null);
    for (const at of [1_000, 1_500, 1_900]) assert.equal(record('m', true, at), null);
    assert.equal(record('m', true, 2_000), 1);
  });

  test('knows models apart', () => {
    const { record } = createBreaker(options);
    for (const at of [0, 1, 2]) record('m', true, at);
    assert.equal(record('other', true, 1_000), null);
    assert.equal(record('m', true, 1_000), 1);
  });

  test('leaves a hundred prompts that all fail at once to their four attempts', () => {
    const { record } = createBreaker();
    // 1 + 2 + 4 s of backoff at most: all 400 attempts are over before it may open.
    for (let i = 0; i < 400; i += 1) assert.equal(record('m', true, (i * 9_000) / 400), null);
    assert.ok(BREAKER.silentMs > 9_000);
  });
});

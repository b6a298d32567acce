import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { floorOf } from './floor.ts';
import { orderCopies } from './order.ts';

// Two streams of two events: the first one ends early, the second one late. Two copies, five minutes apart.
const times = [0, 1_000, 2_000, 600_000];
const order = orderCopies(times, 2);
const lastOf = Int32Array.of(1, 1, 3, 3);
const leftOf = ({ hasLeft }: ReturnType<typeof floorOf>) => times.map((_, e) => [0, 1].map((k) => hasLeft(e, k)));

describe('a floor under several copies', () => {
  test('is the last event recorded before the time', () => {
    const positionAt = (before: number) => floorOf({ order, times, lastOf, before }).position;
    // The copies in turn: 0, 1000, 2000, then 300000, 301000, 302000, then 600000, 900000.
    assert.deepEqual([0, 1, 2_000, 2_001, 300_000, 300_001, 10_000_000].map(positionAt), [0, 1, 2, 3, 3, 4, 8]);
  });

  test('lets a stream go, in each copy by itself, once all of it lies below', () => {
    const [gone, stays] = [true, false];
    const at = (before: number) => leftOf(floorOf({ order, times, lastOf, before }));
    assert.deepEqual(at(1_000), Array(4).fill([stays, stays]));
    assert.deepEqual(at(1_001), [
      [gone, stays],
      [gone, stays],
      [stays, stays],
      [stays, stays],
    ]);
    assert.deepEqual(at(600_001), [
      [gone, gone],
      [gone, gone],
      [gone, stays],
      [gone, stays],
    ]);
    assert.deepEqual(at(900_001), Array(4).fill([gone, gone]));
  });

  test('keeps a stream that has not ended for good, wherever it lies', () => {
    const open = floorOf({ order, times, lastOf: Int32Array.of(-1, -1, 3, 3), before: 900_001 });
    assert.deepEqual(leftOf(open), [
      [false, false],
      [false, false],
      [true, true],
      [true, true],
    ]);
  });
});

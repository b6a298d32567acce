import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRandom } from '../../kit/random.ts';
import { orderCopies, SPREAD_MS } from './order.ts';

const HOUR_MS = 3_600_000;

describe('events of several copies', () => {
  test('of one copy stay as they are', () => {
    const { sequence, positions } = orderCopies([5, 5, 9, 9 * HOUR_MS], 1);
    assert.deepEqual([...sequence], [0, 1, 2, 3]);
    assert.deepEqual([...positions], [1, 2, 3, 4]);
  });

  test('stand by time, at equal times event by event and copy by copy', () => {
    const random = createRandom(7);
    const times = Array.from({ length: 300 }, () => random.between(0, 40) * (SPREAD_MS / 4)).sort((a, b) => a - b);
    times.push(times.at(-1)! + 50 * HOUR_MS);
    const copies = 5;
    const { sequence, positions, shifts } = orderCopies(times, copies);
    assert.deepEqual([...shifts], [0, 120_000, 240_000, 360_000, 480_000]);
    const expected = times
      .flatMap((time, e) => [...shifts].map((shift, k) => ({ at: time + shift, key: e * copies + k })))
      .sort((a, b) => a.at - b.at || a.key - b.key)
      .map(({ key }) => key);
    assert.deepEqual([...sequence], expected);
    for (const [i, key] of expected.entries()) assert.equal(positions[key], i + 1);
  });

  test('are refused when they are too many to be counted', () => {
    assert.throws(() => orderCopies([1, 2, 3], 2 ** 30), /too many/);
  });
});

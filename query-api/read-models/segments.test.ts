import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRandom } from '../../testing/kit/random.ts';
import { cheapestSegments, DAY_MS, decompose, type Level, QUARTER_MS, segmentsOf } from './segments.ts';

const LEVELS: Level[] = [0, 2, 3, 4, 5];
const MOST = 5_000;

describe('segments of a range', () => {
  test('cover every quarter of an hour of it once, and nothing else, two of a level at most', () => {
    const random = createRandom(7);
    const now = 20_000 * DAY_MS;
    for (let i = 0; i < 200; i += 1) {
      const from = now + Math.floor(random.next() * MOST) * QUARTER_MS;
      const to = from + Math.floor(random.next() * MOST) * QUARTER_MS;
      const segments = decompose(from, to, LEVELS);
      let at = from;
      for (const segment of segments) {
        assert.equal(segment.from, at);
        at = segment.to;
      }
      assert.equal(at, Math.max(from, to));
      for (const level of LEVELS) assert.ok(segments.filter((one) => one.level === level).length <= 2);
    }
  });

  test('without bounds are all time', () => {
    assert.deepEqual(
      segmentsOf({ from: null, to: null }, LEVELS).map(({ level }) => level),
      [5],
    );
  });

  test('are taken off from all time where that is less to read', () => {
    const data = { from: 20_000 * DAY_MS, to: 20_400 * DAY_MS };
    const recent = cheapestSegments({ from: null, to: data.to - DAY_MS }, LEVELS, data);
    assert.equal(recent[0]!.level, 5);
    assert.ok(recent.slice(1).every(({ sign }) => sign === -1));
    const short = cheapestSegments({ from: data.to - DAY_MS, to: null }, LEVELS, data);
    assert.ok(short.every(({ sign }) => sign === 1));
  });
});

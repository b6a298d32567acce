import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRandom } from '../../testing/kit/random.ts';
import { cheapestSegments, DAY_MS, decompose, type Level, QUARTER_MS, type Segment, segmentsOf } from './segments.ts';

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

  describe('that reads the fewest rows', () => {
    const data = { from: 20_000 * DAY_MS, to: 20_400 * DAY_MS };
    const read = (segments: Segment[]) =>
      segments.reduce((sum, { level, from, to }) => {
        if (level === 5) return sum + 30;
        const within = Math.min(to, data.to) - Math.max(from, data.from);
        const [length, rows] = { 0: [1, 1], 2: [96, 28], 3: [384, 30], 4: [1536, 30] }[level as 0 | 2 | 3 | 4];
        return sum + rows! * Math.max(0, Math.ceil(within / QUARTER_MS / length!));
      }, 0);

    test('has what was added less what was taken off once for every quarter of an hour of the range, and nothing else', () => {
      const random = createRandom(8);
      for (let i = 0; i < 300; i += 1) {
        const from = data.from + Math.floor(random.next() * MOST) * QUARTER_MS;
        const to = from + Math.floor(random.next() * random.pick([2, 100, MOST])) * QUARTER_MS;
        const range = { from: random.chance(0.1) ? null : from, to: random.chance(0.1) ? null : to };
        // Where the sum changes, and by how much.
        const changes = new Map<number, number>();
        const change = (at: number, by: number) => changes.set(at, (changes.get(at) ?? 0) + by);
        const [start, end] = [range.from ?? 0, range.to ?? Number.POSITIVE_INFINITY];
        for (const segment of cheapestSegments(range, LEVELS, data)) {
          const whole = segment.level === 5;
          const last = whole || segment.to > 250_000 * DAY_MS ? Number.POSITIVE_INFINITY : segment.to;
          change(whole ? 0 : segment.from, segment.sign);
          change(last, -segment.sign);
        }
        if (start < end) {
          change(start, -1);
          change(end, 1);
        }
        assert.deepEqual(
          [...changes.values()].filter((by) => by !== 0),
          [],
          JSON.stringify(range),
        );
        assert.ok(read(cheapestSegments(range, LEVELS, data)) <= read(segmentsOf(range, LEVELS)));
      }
    });

    test('takes off what follows in a day that is nearly whole', () => {
      const segments = cheapestSegments({ from: data.from, to: data.from + DAY_MS - QUARTER_MS }, LEVELS, data);
      assert.deepEqual(
        segments.map(({ level, sign }) => [level, sign]),
        [
          [2, 1],
          [0, -1],
        ],
      );
    });

    test('of ranges drawn at random has three quarters of the rows that adding up alone has', () => {
      const random = createRandom(9);
      let [added, cheapest] = [0, 0];
      for (let i = 0; i < 300; i += 1) {
        const from = data.from + Math.floor(random.next() * MOST) * QUARTER_MS;
        const to = from + Math.floor(random.next() * MOST) * QUARTER_MS;
        added += read(segmentsOf({ from, to }, LEVELS));
        cheapest += read(cheapestSegments({ from, to }, LEVELS, data));
      }
      assert.ok(cheapest < 0.75 * added, `${cheapest} of ${added}`);
    });
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

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createUndelivered, type LaneNumber, windowOf } from './window.ts';

const lane = fc.constantFrom<LaneNumber>(0, 1, 2);

describe('the window of a lane', () => {
  test('is never closed, never wider for a more patient lane, and never wider because others wait', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.boolean(), (slots, urgent) => {
        const [a, b, c] = ([0, 1, 2] as const).map((one) => windowOf(one, slots, urgent)) as [number, number, number];
        assert.ok(a >= b && b >= c && c >= 1);
        for (const one of [0, 1, 2] as const) assert.ok(windowOf(one, slots, true) <= windowOf(one, slots, false));
      }),
    );
  });

  test('is twice the slots for the most urgent, and lets a first worker find work', () => {
    assert.equal(windowOf(0, 100, false), 200);
    assert.equal(windowOf(0, 0, false), 8);
  });
});

test('undelivered entries are counted by lane and model, and leave in their order', () => {
  const entry = fc.record({ lane, model: fc.constantFrom('a', 'b') });
  fc.assert(
    fc.property(fc.array(entry, { size: 'max', maxLength: 120 }), fc.nat(120), (entries, upTo) => {
      const undelivered = createUndelivered();
      for (const [i, one] of entries.entries()) undelivered.add(i + 1, one.lane, one.model);
      undelivered.delivered(upTo);
      for (const one of [0, 1, 2] as const) {
        for (const model of ['a', 'b']) {
          const left = entries.filter((each, i) => i + 1 > upTo && each.lane === one && each.model === model);
          assert.equal(undelivered.count(one, model), left.length);
        }
      }
      undelivered.clear();
      assert.equal(undelivered.count(0, 'a'), 0);
    }),
  );
});

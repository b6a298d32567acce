/** Some seeds for every change; `npm run simulate -- --seeds 300` runs more. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { regressions } from './regressions.ts';
import { type Simulated, simulate } from './run.ts';
import type { Sabotage } from './world.ts';

const SIZE = { hours: 0.25, prompts: 150 };
const tell = (seed: number, { violations, witness }: Simulated) =>
  `seed ${seed}: ${violations.map(({ invariant, message }) => `${invariant} ${message}`).join('; ')}\n${witness}`;

describe('relay, worker, sweeper and projector, simulated', () => {
  test('break no invariant for either of two seeds', async () => {
    for (let seed = 1; seed <= 2; seed += 1) {
      const run = await simulate({ seed, ...SIZE });
      assert.deepEqual(run.violations, [], tell(seed, run));
      assert.ok(run.calls > 100 && run.faults > 10, `${run.calls} calls, ${run.faults} faults`);
    }
  });

  for (const { seed, hours, prompts, found } of regressions) {
    test(`do not again, with seed ${seed}: ${found}`, async () => {
      const run = await simulate({ seed, hours, prompts });
      assert.deepEqual(run.violations, [], tell(seed, run));
    });
  }

  test('do the very same for the same seed, and something else for another', async () => {
    const half = { hours: SIZE.hours / 2, prompts: SIZE.prompts / 2 };
    const [one, again, other] = [
      await simulate({ seed: 5, ...half }),
      await simulate({ seed: 5, ...half }),
      await simulate({ seed: 6, ...half }),
    ];
    assert.equal(one.trace, again.trace);
    assert.deepEqual(one.counters, again.counters);
    assert.notEqual(one.trace, other.trace);
  });

  test('leave the real clock as it was', async () => {
    const before = [setTimeout, setImmediate, Date, Math.random];
    await simulate({ seed: 1, hours: 0.01, prompts: 2 });
    assert.deepEqual([setTimeout, setImmediate, Date, Math.random], before);
  });
});

describe('the judge condemns', () => {
  const sabotages: [keyof Sabotage, string[]][] = [
    ['leases that end at once', ['I7']],
    ['appends without checks', ['I2', 'I5', 'I6']],
    ['no sweeper', ['I1', 'I12']],
    ['no cursor check', ['I6', 'I8']],
  ];
  for (const [name, expected] of sabotages) {
    test(name, async () => {
      const named = new Set<string>();
      for (let seed = 1; seed <= 8 && !expected.some((id) => named.has(id)); seed += 1) {
        for (const { invariant } of (await simulate({ seed, ...SIZE, sabotage: { [name]: true } })).violations)
          named.add(invariant);
      }
      assert.ok(
        expected.some((id) => named.has(id)),
        `named: ${[...named]}`,
      );
    });
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Usage } from '../../contracts/usage.ts';
import { type Band, costOf, layPeriods, mostOf, type Period, periodAt } from './rates.ts';

const usageOf = (
  inputTokens: number,
  cachedInputTokens: number,
  outputTokens: number,
  thoughtTokens: number,
): Usage => ({
  inputTokens,
  cachedInputTokens,
  outputTokens,
  thoughtTokens,
  totalTokens: inputTokens + outputTokens + thoughtTokens,
});
const rate = fc.bigInt(0n, 1_000_000_000_000n);
const rates = fc.record({ input: rate, cachedInput: rate, output: rate });
const bands: fc.Arbitrary<Band[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { maxLength: 4 })
  .chain((starts) => {
    const aboves = [-1, ...starts.sort((a, b) => a - b)];
    return fc.tuple(...aboves.map((above) => rates.map((these) => ({ above, rates: these }))));
  });
const usage = fc
  .tuple(fc.nat(1_200_000), fc.nat(100), fc.nat(70_000), fc.nat(70_000))
  .map(([input, percent, output, thoughts]) => usageOf(input, Math.floor((input * percent) / 100), output, thoughts));

const flat = (input: bigint, cachedInput = input, output = 0n): Band[] => [
  { above: -1, rates: { input, cachedInput, output } },
];

test('a cost is rounded once for the call: half up, less than half down', () => {
  assert.equal(costOf(flat(500_000n), usageOf(1, 0, 0, 0)), 1n);
  assert.equal(costOf(flat(499_999n), usageOf(1, 0, 0, 0)), 0n);
  // One half each: rounded one by one they would be two.
  assert.equal(costOf(flat(500_000n, 0n, 500_000n), usageOf(1, 0, 1, 0)), 1n);
  assert.equal(costOf(flat(1n), usageOf(500_000, 0, 0, 0)), 1n);
});

test('a cost is within half a nano-USD of the exact product', () => {
  fc.assert(
    fc.property(bands, usage, (those, counts) => {
      const { rates: at } = those.findLast(({ above }) => counts.inputTokens > above)!;
      const exact =
        BigInt(counts.inputTokens - counts.cachedInputTokens) * at.input +
        BigInt(counts.cachedInputTokens) * at.cachedInput +
        BigInt(counts.outputTokens + counts.thoughtTokens) * at.output;
      const twice = 2n * (costOf(those, counts) * 1_000_000n - exact);
      assert.ok(-1_000_000n < twice && twice <= 1_000_000n);
    }),
  );
});

test('no call costs more than the most, whatever its tier and its cached part, also where higher tiers are cheaper', () => {
  fc.assert(
    fc.property(bands, usage, fc.nat(1_000), fc.nat(1_000), (those, counts, moreInput, moreOutput) => {
      const output = counts.outputTokens + counts.thoughtTokens;
      assert.ok(costOf(those, counts) <= mostOf(those, counts.inputTokens + moreInput, output + moreOutput));
    }),
    { numRuns: 1_000 },
  );
});

test('of two lists the upper counts in its time, the lower everywhere else, and no moment has two prices', () => {
  const moments = fc.uniqueArray(fc.integer({ min: 0, max: 50 }), { minLength: 2, maxLength: 5 });
  const periods = fc.tuple(moments, fc.boolean(), fc.boolean()).map(([times, fromEver, forEver]): Period[] => {
    const ordered = times.sort((a, b) => a - b);
    return ordered.slice(1).map((to, i) => ({
      from: fromEver && i === 0 ? -Infinity : ordered[i]!,
      to: forEver && i === ordered.length - 2 ? Infinity : to,
      bands: flat(BigInt(i)),
    }));
  });
  fc.assert(
    fc.property(periods, periods, fc.integer({ min: -5, max: 55 }), (under, over, ms) => {
      const at = new Date(ms);
      const laid = layPeriods(under, over);
      const expected = periodAt(over, at) ?? periodAt(under, at);
      assert.deepEqual(periodAt(laid, at)?.bands, expected?.bands);
      assert.ok(laid.filter(({ from, to }) => from <= ms && ms < to).length <= 1);
    }),
  );
});

test('every count that a provider’s usage may hold costs a safe integer at the dearest price of a file', () => {
  const dearest = 1_000n * 1_000_000_000n;
  const most = 2 ** 31 - 1;
  assert.ok(costOf(flat(dearest, dearest, dearest), usageOf(most, 0, most, most)) <= BigInt(Number.MAX_SAFE_INTEGER));
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  binOf,
  binOfCode,
  codeOf,
  measureOf,
  middleOf,
  pack,
  sumOfBins,
  takesBins,
  timeMeasures,
} from './histogram.ts';

const counted = fc.array(fc.tuple(fc.nat(3_071), fc.integer({ min: -3, max: 3 })), { maxLength: 40 });
const YEARS = 10 * 365 * 86_400_000;

describe('a histogram', () => {
  test('tells a time within 5 per cent, of any measure', () => {
    fc.assert(
      fc.property(fc.constantFrom(...timeMeasures), fc.integer({ min: 1, max: YEARS }), (measure, ms) => {
        const code = codeOf(measure, binOf(ms));
        assert.equal(measureOf(code), measure);
        assert.ok(Math.abs(middleOf(binOfCode(code)) / ms - 1) < 0.05);
      }),
    );
    assert.ok(codeOf('total', binOf(YEARS)) < 4_096);
  });

  test('adds up code by code, whatever was added and taken before', () => {
    fc.assert(
      fc.property(counted, (all) => {
        const sums = new Map<number, number>();
        for (const [code, n] of all) sums.set(code, (sums.get(code) ?? 0) + n);
        const left = [...sums].filter(([, n]) => n !== 0).sort(([a], [b]) => a - b);
        const summed = sumOfBins(all.map(([code, n]) => pack(code, n)));
        assert.deepEqual(
          summed,
          left.map(([code, n]) => pack(code, n)),
        );
        assert.equal(
          takesBins(summed),
          left.some(([, n]) => n < 0),
        );
      }),
    );
  });
});

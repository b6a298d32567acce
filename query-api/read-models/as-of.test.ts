import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOfBucket, readUpTo } from './as-of.ts';

test('the bucket of a point is read with what came later in it, or left out with what came earlier: the shorter part', () => {
  const at = (time: string) => ({ recordedAt: `2026-03-01T${time}Z` });
  const told = (time: string) =>
    [readUpTo(at(time)), endOfBucket(at(time))].map((ms) => new Date(ms).toISOString().slice(11, 19));
  assert.deepEqual(told('10:00:00.000'), ['10:00:00', '10:15:00']);
  assert.deepEqual(told('10:07:29.999'), ['10:00:00', '10:15:00']);
  assert.deepEqual(told('10:07:30.000'), ['10:15:00', '10:15:00']);
  assert.deepEqual(told('10:14:59.999'), ['10:15:00', '10:15:00']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shrank, toUsage } from './usage.ts';

test('cached tokens are part of the input, thoughts are not part of the output', () => {
  const raw = { promptTokenCount: 100, cachedContentTokenCount: 40, candidatesTokenCount: 7, thoughtsTokenCount: 30 };
  assert.deepEqual(toUsage(raw), {
    inputTokens: 100,
    cachedInputTokens: 40,
    outputTokens: 7,
    thoughtTokens: 30,
    totalTokens: 137,
  });
});

test('a block without an input count, or with counts that cannot be, is not a bill', () => {
  const senseless = [
    undefined,
    {},
    { promptTokenCount: null as unknown as number },
    { promptTokenCount: -1 },
    { promptTokenCount: 1.5 },
    { promptTokenCount: 2 ** 31 },
    { promptTokenCount: 10, cachedContentTokenCount: 11 },
    { promptTokenCount: 10, thoughtsTokenCount: Number.NaN },
  ];
  for (const raw of senseless) assert.equal(toUsage(raw), null, JSON.stringify(raw));
});

test('a count that shrinks or goes missing makes the last block doubtful', () => {
  const before = { promptTokenCount: 10, candidatesTokenCount: 5, thoughtsTokenCount: 3 };
  assert.equal(shrank(undefined, before), false);
  assert.equal(shrank(before, { ...before, candidatesTokenCount: 6 }), false);
  assert.equal(shrank(before, { ...before, thoughtsTokenCount: 2 }), true);
  assert.equal(shrank(before, { promptTokenCount: 10, thoughtsTokenCount: 3 }), true);
});

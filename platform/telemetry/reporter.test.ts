import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReporter } from './reporter.ts';

test('what happens again and again is told at once, then once a minute with how often', () => {
  const lines: unknown[] = [];
  let now = 0;
  const reporter = createReporter({ warn: (fields, message) => lines.push([message, fields]) }, () => now);
  reporter.warn({ n: 1 }, 'a');
  reporter.warn({ n: 2 }, 'a');
  reporter.warn({ n: 3 }, 'b');
  now = 59_999;
  reporter.warn({ n: 4 }, 'a');
  now = 60_000;
  reporter.warn({ n: 5 }, 'a');
  now = 120_000;
  reporter.warn({ n: 6 }, 'a');
  assert.deepEqual(lines, [
    ['a', { n: 1, times: 1 }],
    ['b', { n: 3, times: 1 }],
    ['a', { n: 5, times: 3 }],
    ['a', { n: 6, times: 1 }],
  ]);
});

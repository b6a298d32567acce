import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Question } from '../read-models/stats-reader.ts';
import { seriesOf } from './stats-query.ts';

const DAY = 86_400_000;
const now = Date.now();
const live = { current: () => ({ version: 1, position: 1, asOf: new Date(now).toISOString(), aside: 0, upSince: 0 }) };
const asked: Question = {
  filter: { userId: null, model: null, emulated: 'default', range: { from: 0, to: null } },
  chosen: null,
  point: null,
  signal: new AbortController().signal,
};
const startsOf = (bucket: 'hour' | 'day', days: number) =>
  seriesOf(live, { bucket }, asked, { from: now - days * DAY, to: now + DAY }).series.starts.length;

test('a series has a bucket for every hour or day of the log, and is refused where these are too many', () => {
  assert.ok(startsOf('hour', 80) > 80 * 24);
  assert.throws(() => startsOf('hour', 90), { code: 'invalid_request' });
  assert.ok(startsOf('day', 700) > 700);
  assert.throws(() => startsOf('day', 810), { code: 'invalid_request' });
});

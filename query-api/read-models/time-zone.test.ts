import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DAY_MS, HOUR_MS, QUARTER_MS } from './segments.ts';
import { type Bucket, bucketStarts, findZone, UTC } from './time-zone.ts';

const starts = (zone: string, bucket: Bucket, from: string, to: string): string[] =>
  bucketStarts(findZone(zone)!, bucket, Date.parse(from), Date.parse(to), 5_000)!.map((ms) =>
    new Date(ms).toISOString(),
  );
const lengths = (zone: string, from: string, to: string): number[] => {
  const at = starts(zone, 'day', from, to).map((time) => Date.parse(time));
  return at.slice(1).map((ms, i) => (ms - at[i]!) / HOUR_MS);
};

describe('days of a time zone', () => {
  test('have 23 hours in spring and 25 in autumn', () => {
    assert.deepEqual(lengths('Europe/Berlin', '2026-03-27T23:00:00Z', '2026-03-31T12:00:00Z'), [24, 23, 24]);
    assert.deepEqual(lengths('America/New_York', '2026-10-31T04:00:00Z', '2026-11-03T12:00:00Z'), [24, 25, 24]);
    assert.deepEqual(lengths('Australia/Lord_Howe', '2026-04-03T13:00:00Z', '2026-04-06T12:00:00Z'), [24, 24.5]);
  });

  test('begin at quarters of an hour where the zone does', () => {
    assert.deepEqual(starts('Asia/Kathmandu', 'day', '2026-05-01T00:00:00Z', '2026-05-02T00:00:00Z'), [
      '2026-04-30T18:15:00.000Z',
      '2026-05-01T18:15:00.000Z',
    ]);
    assert.equal(
      starts('Asia/Kathmandu', 'hour', '2026-05-01T00:00:00Z', '2026-05-01T01:00:00Z')[0],
      '2026-04-30T23:15:00.000Z',
    );
  });

  test('begin at one o’clock where midnight is skipped', () => {
    assert.deepEqual(starts('Africa/Cairo', 'day', '2026-04-23T22:00:00Z', '2026-04-24T22:00:00Z').slice(0, 2), [
      '2026-04-23T22:00:00.000Z',
      '2026-04-24T21:00:00.000Z',
    ]);
  });

  test('hold every quarter of an hour once, as a calendar of the zone tells', () => {
    for (const zone of [
      'Europe/Berlin',
      'Asia/Kathmandu',
      'America/St_Johns',
      'Africa/Cairo',
      'Pacific/Apia',
      'Australia/Lord_Howe',
    ]) {
      for (const bucket of ['hour', 'day'] as const) {
        const day = new Intl.DateTimeFormat('sv-SE', {
          timeZone: zone,
          dateStyle: 'short',
          ...(bucket === 'hour' && { timeStyle: 'short' }),
        });
        const name = (ms: number) => day.format(ms).slice(0, bucket === 'hour' ? 13 : 10);
        for (const from of [
          '2026-03-07T00:00:00Z',
          '2026-03-28T06:00:00Z',
          '2026-04-04T00:00:00Z',
          '2026-04-23T00:00:00Z',
          '2026-10-24T00:00:00Z',
          '2026-10-31T00:00:00Z',
        ]) {
          const start = Date.parse(from);
          const end = start + 3 * DAY_MS;
          const at = bucketStarts(findZone(zone)!, bucket, start, end, 5_000)!;
          const found: string[] = [];
          const told: string[] = [];
          for (let ms = start; ms < end; ms += QUARTER_MS) {
            const index = at.findLastIndex((one) => one <= ms);
            found.push(`${index}`);
            told.push(name(ms));
          }
          assert.deepEqual(
            new Set(found.map((index) => name(at[Number(index)]!))).size,
            new Set(told).size,
            `${zone} ${from}`,
          );
          for (const [i, index] of found.entries())
            assert.equal(name(at[Number(index)]!), told[i], `${zone} ${bucket} ${from}`);
        }
      }
    }
  });

  test('keep apart the two hours of one name when clocks go back', () => {
    assert.deepEqual(starts('Europe/Berlin', 'hour', '2026-10-25T00:00:00Z', '2026-10-25T02:30:00Z'), [
      '2026-10-25T00:00:00.000Z',
      '2026-10-25T01:00:00.000Z',
      '2026-10-25T02:00:00.000Z',
    ]);
  });

  test('of UTC are those of UTC, and more than asked for are none', () => {
    const from = Date.parse('2026-01-01T10:15:00Z');
    assert.deepEqual(bucketStarts(UTC, 'day', from, from + DAY_MS, 10), [
      from - 10.25 * HOUR_MS,
      from + 13.75 * HOUR_MS,
    ]);
    assert.equal(bucketStarts(UTC, 'hour', from, from + 11 * HOUR_MS, 10), null);
    assert.deepEqual(bucketStarts(UTC, 'hour', from, from, 10), []);
  });

  for (const name of ['Mars/Olympus', '+02:00', '', 'Europe/Berlin; DROP']) {
    test(`(${name}) is no zone`, () => assert.equal(findZone(name), null));
  }
});

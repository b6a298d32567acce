/** Hours and days of a time zone: where they begin, with days of 23 and 25 hours and offsets of quarters of an hour. */
import { DAY_MS, floorTo, HOUR_MS, QUARTER_MS } from './segments.ts';

export type Bucket = 'hour' | 'day';
export type Zone = { name: string; offsetAt: (ms: number) => number };

/** Null: no such zone of the IANA database. Offsets such as `+02:00` are none: they have no summer. */
export function findZone(name: string): Zone | null {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return null;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  const exactOffset = (ms: number): number => {
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute) - floorTo(ms, 60_000);
  };
  // Clocks are set at most once in a day: where both its ends agree, so does all between.
  const ends = new Map<number, number>();
  const offsetOfDay = (day: number): number => {
    let offset = ends.get(day);
    if (offset === undefined) {
      offset = exactOffset(day);
      ends.set(day, offset);
    }
    return offset;
  };
  return {
    name: format.resolvedOptions().timeZone,
    offsetAt: (ms) => {
      const day = floorTo(ms, DAY_MS);
      const offset = offsetOfDay(day);
      return offset === offsetOfDay(day + DAY_MS) ? offset : exactOffset(ms);
    },
  };
}

export const UTC: Zone = { name: 'UTC', offsetAt: () => 0 };

/**
 * Where the buckets begin that the range from `from` until `to` touches, upwards; null for more than `most`.
 * An hour or day begins with the first quarter of an hour that belongs to it: where midnight is skipped, at 01:00.
 */
export function bucketStarts(zone: Zone, bucket: Bucket, from: number, to: number, most: number): number[] | null {
  const span = bucket === 'hour' ? HOUR_MS : DAY_MS;
  if ((to - from) / span > most + 2) return null;
  // What a bucket is told apart by: a day by its date; an hour by the moment too, since clocks that go back have it twice.
  const local = (ms: number) => {
    const offset = zone.offsetAt(ms);
    return floorTo(ms + offset, span) - (bucket === 'hour' ? offset : 0);
  };
  const starts: number[] = [];
  if (from >= to) return starts;
  for (let at = startOf(from); at < to; at = next(at)) {
    starts.push(at);
    if (starts.length > most) return null;
  }
  return starts;

  /** Back to the first quarter that has the same hour or day. */
  function startOf(ms: number): number {
    let at = floorTo(ms, QUARTER_MS);
    const name = local(at);
    // Most often right away; the rest is where clocks were set.
    const guess = bucket === 'hour' ? name : name - zone.offsetAt(name - zone.offsetAt(at));
    if (guess <= at && local(guess) === name && local(guess - QUARTER_MS) !== name) return guess;
    while (local(at - QUARTER_MS) === name) at -= QUARTER_MS;
    return at;
  }

  function next(ms: number): number {
    const name = local(ms);
    if (local(ms + span) !== name && local(ms + span - QUARTER_MS) === name) return ms + span;
    let at = ms + QUARTER_MS;
    while (local(at) === name) at += QUARTER_MS;
    return at;
  }
}

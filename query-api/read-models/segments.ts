/**
 * A range of time as few spans of coarse and fine levels, as migrations/9_rollups.sql keeps sums of them. Times are
 * milliseconds, ranges begin and end on quarters of an hour.
 */
export const QUARTER_MS = 15 * 60_000;
export const HOUR_MS = 4 * QUARTER_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Length of a span of levels 0 to 4; level 5 is all time. */
const SPANS = [QUARTER_MS, HOUR_MS, DAY_MS, 4 * DAY_MS, 16 * DAY_MS] as const;
export const ALL_TIME = 5;
export type Level = 0 | 1 | 2 | 3 | 4 | 5;

/** `sign` -1: taken off. */
export type Segment = { level: Level; from: number; to: number; sign: 1 | -1 };

/** Nulls: from the beginning, to the end. */
export type Range = { from: number | null; to: number | null };

export const floorTo = (ms: number, span: number): number => Math.floor(ms / span) * span;
const ceilTo = (ms: number, span: number): number => Math.ceil(ms / span) * span;

/** No log begins before it or goes on after it. */
const BEGINNING = 0;
const END = ceilTo(Date.parse('9999-12-31T00:00:00Z'), 16 * DAY_MS);

/** At most two segments of each level; levels upwards, 0 among them. */
export function decompose(from: number, to: number, levels: readonly Level[]): Segment[] {
  if (from >= to) return [];
  const level = levels.at(-1) ?? 0;
  const finer = levels.slice(0, -1);
  if (level === ALL_TIME) return decompose(from, to, finer);
  const span = SPANS[level];
  const [start, end] = [ceilTo(from, span), floorTo(to, span)];
  if (start >= end) return decompose(from, to, finer);
  return [...decompose(from, start, finer), { level, from: start, to: end, sign: 1 }, ...decompose(end, to, finer)];
}

/** A whole range, by adding up. */
export function segmentsOf({ from, to }: Range, levels: readonly Level[]): Segment[] {
  if (from === null && to === null && levels.includes(ALL_TIME)) return [allTime()];
  return decompose(from ?? BEGINNING, to ?? END, levels);
}

/**
 * The same by adding up, or by taking off from all time what is not in the range, whichever reads fewer spans.
 * `data`: outside of it there is nothing to read.
 */
export function cheapestSegments(
  range: Range,
  levels: readonly Level[],
  data: { from: number; to: number },
): Segment[] {
  const added = segmentsOf(range, levels);
  if (added.some(({ level }) => level === ALL_TIME) || !levels.includes(ALL_TIME)) return added;
  const outside = [
    ...(range.from === null ? [] : decompose(BEGINNING, range.from, levels)),
    ...(range.to === null ? [] : decompose(range.to, END, levels)),
  ];
  const read = (segments: Segment[]) =>
    segments.reduce((sum, { level, from, to }) => {
      const within = Math.min(to, data.to) - Math.max(from, data.from);
      return sum + Math.max(0, Math.ceil(within / SPANS[level as 0]));
    }, 0);
  if (read(added) <= 1 + read(outside)) return added;
  return [allTime(), ...outside.map((segment) => ({ ...segment, sign: -1 as const }))];
}

const allTime = (): Segment => ({ level: ALL_TIME, from: BEGINNING, to: SPANS[0], sign: 1 });

/** As the statements take them. */
export const segmentsJson = (segments: Segment[]): string =>
  JSON.stringify(
    segments.map(({ level, from, to, sign }) => ({
      level,
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      sign,
    })),
  );

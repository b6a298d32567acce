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

/** Levels of sums by user, which have no hours; and of those over all users. */
export const BY_USER: readonly Level[] = [0, 2, 3, 4, 5];
export const OF_ALL: readonly Level[] = [0, 1, 2, 3, 4, 5];

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

/** Within years that the server can be told of, also where it is rounded to whole spans. */
const bounded = ({ from, to }: Range): [from: number, to: number] => [
  Math.max(from ?? BEGINNING, BEGINNING),
  Math.min(to ?? END, END),
];

/** A whole range, by adding up. */
export function segmentsOf(range: Range, levels: readonly Level[]): Segment[] {
  if (range.from === null && range.to === null && levels.includes(ALL_TIME)) return [allTime()];
  return decompose(...bounded(range), levels);
}

/**
 * Rows that a span of a level has beside a quarter of an hour's, where many users ask a few times a day: most of them within a day,
 * all within four. Where they ask seldom there are few rows at all.
 */
const ROWS = [1, 4, 28, 30, 30, 30] as const;

/** From one end of a range to a place where spans of a level begin: what is added and taken off for it, and rows read. */
type Way = { at: number; rows: number; segments: Segment[] };

/**
 * The same by adding up and taking off, reading as few rows as can be: a range that ends late in a day is the whole day less
 * what comes after, and a long one all time less what is outside. `data`: outside of it there is nothing to read.
 */
export function cheapestSegments(
  range: Range,
  levels: readonly Level[],
  data: { from: number; to: number },
): Segment[] {
  if (range.from === null && range.to === null && levels.includes(ALL_TIME)) return [allTime()];
  const [from, to] = bounded(range);
  if (from >= to) return [];
  /** Backwards it is taken off. */
  const run = (level: Level, a: number, b: number): Way => {
    if (a === b) return { at: b, rows: 0, segments: [] };
    const [start, end] = [Math.min(a, b), Math.max(a, b)];
    const within = Math.max(0, Math.min(end, data.to) - Math.max(start, data.from));
    // Also of what is outside few spans are better than many: a clock may be wrong.
    const rows = ROWS[level] * (Math.ceil(within / SPANS[level as 0]) + (1e-6 * (end - start)) / SPANS[level as 0]);
    return { at: b, rows, segments: [{ level, from: start, to: end, sign: a < b ? 1 : -1 }] };
  };
  const join = (...ways: Way[]): Way => ({
    at: ways.at(-1)!.at,
    rows: ways.reduce((sum, { rows }) => sum + rows, 0),
    segments: ways.flatMap(({ segments }) => segments),
  });
  const fewest = (ways: Way[]): Way => ways.reduce((best, way) => (way.rows < best.rows ? way : best));
  const all: Way = { at: END, rows: ROWS[ALL_TIME], segments: [allTime()] };

  // Level by level: from each end to where a span begins before it, and after it; and between the two by spans of the level.
  let heads: Way[] = [{ at: from, rows: 0, segments: [] }];
  let tails: Way[] = [{ at: to, rows: 0, segments: [] }];
  const found: Way[] = [];
  let finer: Level = 0;
  for (const level of levels) {
    const span = SPANS[level as 0];
    if (level !== ALL_TIME) {
      const by = finer;
      const places = (time: number) => [...new Set([floorTo(time, span), ceilTo(time, span)])];
      heads = places(from).map((at) => fewest(heads.map((head) => join(head, run(by, head.at, at)))));
      tails = places(to).map((at) => ({ ...fewest(tails.map((tail) => join(run(by, at, tail.at), tail))), at }));
      finer = level;
    }
    for (const head of heads) {
      for (const tail of tails) {
        const between =
          level === ALL_TIME
            ? [run(finer, head.at, BEGINNING), all, run(finer, END, tail.at)]
            : [run(level, head.at, tail.at)];
        found.push(join(head, ...between, tail));
      }
    }
  }
  return fewest(found).segments;
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

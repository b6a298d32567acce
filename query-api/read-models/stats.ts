/** Aggregates as the projection keeps them: spending of users, popularity of models, usage over time, latency. */
import { amount } from '../../contracts/money.ts';
import { statuses } from '../../contracts/prompt/contribution.ts';
import { overAllUsers } from '../../contracts/prompt/deltas.ts';
import { binOfCode, measureOf, timeMeasures } from '../../contracts/prompt/histogram.ts';
import type { PromptStatus } from '../../contracts/prompt/state.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { percentile } from './percentiles.ts';
import { BY_USER, type Level, OF_ALL, segmentsJson, segmentsOf } from './segments.ts';
import type { Question, Reading, StatsReader } from './stats-reader.ts';
import type { Bucket } from './time-zone.ts';
import { COUNTED, readUsers, type Sums, takeOff } from './user-sums.ts';

const MODELS = versionedSql(import.meta.url, '../sql/models.sql');
const USAGE_SERIES = versionedSql(import.meta.url, '../sql/usage-series.sql');
const LATENCY = versionedSql(import.meta.url, '../sql/latency.sql');

/** The `limit` users who spent most, and all others in one sum. */
export async function userStats(reader: StatsReader, question: Question, limit: number) {
  const { data: rows, ...at } = await reader.read(question, {}, (reading) => readUsers(reading, question, limit));
  const rest = rows.find((row) => row.user_id === null);
  const data = rows.filter((row) => row !== rest).map((row) => ({ userId: row.user_id as string, ...sums(row) }));
  return { data, ...at, other: rest ? { users: Number(rest.users), ...sums(rest) } : null };
}

export async function modelStats(reader: StatsReader, question: Question) {
  const { filter, point } = question;
  type Row = { model: string | null; users: string } & Omit<Sums, 'completed' | 'failed' | 'unknown_bound'>;
  const { data: found, ...at } = await reader.read(question, {}, ({ rows, version, range, toRead, corrections }) =>
    rows<Row>(MODELS(version), [
      filter.userId,
      filter.model,
      filter.emulated,
      segmentsJson(segmentsOf(toRead(range), BY_USER)),
      JSON.stringify(corrections),
      point?.position ?? null,
    ]),
  );
  const rows = present(found, 'model');
  const all = rows.reduce((sum, row) => sum + Number(row.prompts), 0);
  const data = rows.map((row) => ({
    model: row.model,
    prompts: Number(row.prompts),
    users: Number(row.users),
    share: all === 0 ? 0 : Number(row.prompts) / all,
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    thoughtTokens: Number(row.thought_tokens),
    cost: amount(BigInt(row.confirmed) + BigInt(row.wasted)),
    notional: money(row.notional),
  }));
  return { data, ...at };
}

/** `starts`: of the buckets, upwards, in milliseconds. `limit`: how many users have rows of their own. */
export type Series = {
  bucket: Bucket;
  starts: number[];
  groupBy: 'model' | 'user' | 'status' | null;
  limit: number;
};
type SeriesRow = { bucket: number; member: string | null } & Sums & Record<PromptStatus, string>;

/** By status there are counts only: tokens and money are kept by model and user, not by state. */
export async function usageStats(reader: StatsReader, question: Question, series: Series) {
  const { groupBy, starts } = series;
  const startOf = ({ bucket }: SeriesRow) => new Date(starts[bucket - 1]!).toISOString();
  const isTop = groupBy === 'user' && question.filter.userId === null;
  const { data: rows, ...at } = await reader.read(question, { several: isTop, inDays: isTop }, async (reading) =>
    isTop
      ? readTopUsers(reading, question, series)
      : readSeries(reading, question, series, ofUser(question), groupBy ?? 'none'),
  );
  if (groupBy === 'status') {
    const data = rows.flatMap((row) =>
      statuses
        .filter((status) => Number(row[status]) > 0)
        .sort()
        .map((status) => ({ bucket: startOf(row), status, prompts: Number(row[status]) })),
    );
    return { data, ...at };
  }
  const data = rows.map((row) => ({
    bucket: startOf(row),
    ...(groupBy === 'model' ? { model: row.member } : {}),
    ...(groupBy === 'user' ? { userId: row.member } : {}),
    ...sums(row),
  }));
  return { data, ...at };
}

const ofUser = ({ filter }: Question): string[] | null => (filter.userId === null ? null : [filter.userId]);

async function readSeries(
  { rows, version, range, toRead, corrections }: Reading,
  { filter, point }: Question,
  { bucket, starts }: Series,
  users: string[] | null,
  members: 'none' | 'model' | 'user' | 'status',
): Promise<SeriesRow[]> {
  const levels: Level[] = bucket === 'hour' ? [0, 1] : [0, 1, 2];
  const usable = users === null ? levels : levels.filter((level) => BY_USER.includes(level));
  const end = range.to ?? Number.POSITIVE_INFINITY;
  // Each bucket by itself, so that no span reaches over its edge; runs of one level are read in one go.
  const segments = starts
    .flatMap((start, i) =>
      segmentsOf(
        toRead({ from: Math.max(start, range.from ?? start), to: Math.min(starts[i + 1] ?? end, end) }),
        usable,
      ),
    )
    .reduce<ReturnType<typeof segmentsOf>>((joined, segment) => {
      const last = joined.at(-1);
      if (last?.level === segment.level && last.to === segment.from) last.to = segment.to;
      else joined.push({ ...segment });
      return joined;
    }, []);
  const within = corrections.filter(({ bucket: at }) => {
    const ms = Date.parse(at);
    return ms >= (range.from ?? ms) && ms < end;
  });
  const found = await rows<SeriesRow>(USAGE_SERIES(version), [
    users,
    filter.model,
    filter.emulated,
    segmentsJson(segments),
    JSON.stringify(users === null ? overAllUsers(within) : within.filter(({ user_id }) => users.includes(user_id))),
    point?.position ?? null,
    starts.map((ms) => new Date(ms).toISOString()),
    members,
  ]);
  return present(found, 'bucket') as SeriesRow[];
}

/**
 * Rows of those who spent most on the days that the series touches, and in each bucket one of all others, without a name.
 * Whole days: who was first among 10,000 users is then read from a few rows of each.
 */
async function readTopUsers(reading: Reading, question: Question, series: Series): Promise<SeriesRow[]> {
  const ranked = await readUsers({ ...reading, range: reading.days }, question, series.limit);
  const top = present(ranked, 'user_id').map((row) => row.user_id);
  const all = await readSeries(reading, question, series, null, 'none');
  const theirs = await readSeries(reading, question, series, top, 'user');
  const rests = new Map(all.map((row) => [row.bucket, { ...row }]));
  for (const row of theirs) {
    const rest = rests.get(row.bucket)!;
    takeOff(rest, row);
  }
  const others = [...rests.values()].filter((rest) => COUNTED.some((name) => Number(rest[name]) !== 0));
  // By name, as without a limit; the others last.
  const isBefore = (a: SeriesRow, b: SeriesRow) => b.member === null || (a.member !== null && a.member < b.member);
  return [...theirs, ...others].sort((a, b) => a.bucket - b.bucket || (isBefore(a, b) ? -1 : 1));
}

export async function latencyStats(reader: StatsReader, question: Question) {
  const { filter, point } = question;
  type Row = { code: number | null; n: string };
  const { data: found, ...at } = await reader.read(question, {}, ({ rows, version, range, toRead, corrections }) =>
    rows<Row>(LATENCY(version), [
      filter.userId,
      filter.model,
      filter.emulated,
      segmentsJson(segmentsOf(toRead(range), filter.userId === null ? OF_ALL : [0])),
      JSON.stringify(overAllUsers(corrections)),
      point?.position ?? null,
    ]),
  );
  const rows = present(found, 'code');
  const data = timeMeasures.map((measure) => {
    const own = rows.filter(({ code }) => measureOf(code) === measure);
    const bins = own.map(({ code, n }) => ({ bin: binOfCode(code), n: Number(n) }));
    return {
      measure,
      count: bins.reduce((sum, { n }) => sum + n, 0),
      p50: percentile(bins, 0.5),
      p95: percentile(bins, 0.95),
      p99: percentile(bins, 0.99),
    };
  });
  return { data, ...at };
}

/** The statement's one row for "nothing" has only the cursor. */
function present<T, K extends keyof T>(rows: T[], key: K): (T & { [P in K]: NonNullable<T[P]> })[] {
  return rows.filter((row): row is T & { [P in K]: NonNullable<T[P]> } => row[key] !== null);
}

const sums = (row: Sums) => ({
  prompts: Number(row.prompts),
  completed: Number(row.completed),
  failed: Number(row.failed),
  inputTokens: Number(row.input_tokens),
  outputTokens: Number(row.output_tokens),
  thoughtTokens: Number(row.thought_tokens),
  cost: {
    confirmed: money(row.confirmed),
    wasted: money(row.wasted),
    unknownBound: money(row.unknown_bound),
    unknownAttempts: Number(row.unknown_attempts),
    notional: money(row.notional),
  },
});

/** `usd` is exact at any size; `nanoUsd`, being a JSON number, up to 2^53 (9 million dollars). */
const money = (nanoUsd: string) => amount(nanoUsd.length < 16 ? Number(nanoUsd) : BigInt(nanoUsd));

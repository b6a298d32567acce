/** Aggregates as the projection keeps them, each answered by one statement that also tells the cursor it saw. */
import type pg from 'pg';
import { amount } from '../../contracts/money.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import type { LiveModel } from './live-model.ts';
import { percentile } from './percentiles.ts';

type Db = Pick<pg.Pool, 'query'>;

export type EmulatedFilter = 'default' | 'only' | 'include';
/** Nulls stand for any; without `from` and `to` the sums over all time are read. */
export type StatsFilter = {
  userId: string | null;
  model: string | null;
  emulated: EmulatedFilter;
  from: string | null;
  to: string | null;
};
export type StatsAnswer<T> = { data: T[]; position: number; asOf: string | null };

const USERS_TOTAL = versionedSql(import.meta.url, '../sql/users-total.sql');
const USERS_RANGE = versionedSql(import.meta.url, '../sql/users-range.sql');
const MODELS_TOTAL = versionedSql(import.meta.url, '../sql/models-total.sql');
const MODELS_RANGE = versionedSql(import.meta.url, '../sql/models-range.sql');
const USAGE_SERIES = versionedSql(import.meta.url, '../sql/usage-series.sql');
const USAGE_BY_STATUS = versionedSql(import.meta.url, '../sql/usage-by-status.sql');
const LATENCY = versionedSql(import.meta.url, '../sql/latency.sql');

const MEASURES = ['queue_wait', 'model_time', 'total'] as const;

/** sum(bigint) and numeric come as text. */
type Sums = Record<'prompts' | 'completed' | 'failed' | 'input_tokens' | 'output_tokens' | 'thought_tokens', string> &
  Record<'confirmed' | 'wasted' | 'unknown_bound', string>;

export async function userStats(db: Db, live: LiveModel, filter: StatsFilter) {
  const answer = await ask<{ user_id: string | null } & Sums>(
    db,
    live,
    ...totalOrRange(filter, USERS_TOTAL, USERS_RANGE),
  );
  return { ...answer, data: present(answer.data, 'user_id').map((row) => ({ userId: row.user_id, ...sums(row) })) };
}

export async function modelStats(db: Db, live: LiveModel, filter: StatsFilter) {
  type Row = { model: string | null; users: number; cost: string } & Sums;
  const answer = await ask<Row>(db, live, ...totalOrRange(filter, MODELS_TOTAL, MODELS_RANGE));
  const rows = present(answer.data, 'model');
  const all = rows.reduce((sum, row) => sum + Number(row.prompts), 0);
  const data = rows.map((row) => ({
    model: row.model,
    prompts: Number(row.prompts),
    users: row.users,
    share: Number(row.prompts) / all,
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    thoughtTokens: Number(row.thought_tokens),
    cost: money(row.cost),
  }));
  return { ...answer, data };
}

export type Series = { bucket: 'hour' | 'day'; groupBy: 'model' | 'user' | 'status' | null };

/** By status there are counts only: tokens and money are kept by model and user, not by state. */
export async function usageStats(db: Db, live: LiveModel, filter: StatsFilter, series: Series) {
  const values = [...range(filter), series.bucket];
  if (series.groupBy === 'status') {
    type Row = { bucket: string | null; member: string; prompts: string };
    const answer = await ask<Row>(db, live, USAGE_BY_STATUS, values);
    const data = present(answer.data, 'bucket').map((row) => ({
      bucket: row.bucket,
      status: row.member,
      prompts: Number(row.prompts),
    }));
    return { ...answer, data };
  }
  type Row = { bucket: string | null; member: string | null } & Sums;
  const answer = await ask<Row>(db, live, USAGE_SERIES, [...values, series.groupBy ?? 'none']);
  const data = present(answer.data, 'bucket').map((row) => ({
    bucket: row.bucket,
    ...(series.groupBy === 'model' ? { model: row.member } : {}),
    ...(series.groupBy === 'user' ? { userId: row.member } : {}),
    ...sums(row),
  }));
  return { ...answer, data };
}

export async function latencyStats(db: Db, live: LiveModel, filter: StatsFilter) {
  type Row = { measure: string | null; bin: number; n: string };
  const answer = await ask<Row>(db, live, LATENCY, range(filter));
  const rows = present(answer.data, 'measure');
  const data = MEASURES.map((measure) => {
    const bins = rows.filter((row) => row.measure === measure).map((row) => ({ bin: row.bin, n: Number(row.n) }));
    return {
      measure,
      count: bins.reduce((sum, { n }) => sum + n, 0),
      p50: percentile(bins, 0.5),
      p95: percentile(bins, 0.95),
      p99: percentile(bins, 0.99),
    };
  });
  return { ...answer, data };
}

type VersionedText = (version: number) => string;

const common = (filter: StatsFilter): unknown[] => [filter.userId, filter.model, filter.emulated];
const range = (filter: StatsFilter): unknown[] => [
  ...common(filter),
  filter.from ?? '-infinity',
  filter.to ?? 'infinity',
];
const totalOrRange = (filter: StatsFilter, total: VersionedText, ranged: VersionedText): [VersionedText, unknown[]] =>
  filter.from === null && filter.to === null ? [total, common(filter)] : [ranged, range(filter)];

async function ask<T>(db: Db, live: LiveModel, text: VersionedText, values: unknown[]): Promise<StatsAnswer<T>> {
  type Row = T & { position: number; as_of: string };
  const data = await live.read(async (version) => (await db.query<Row & object>({ text: text(version), values })).rows);
  const [first] = data;
  if (!first) throw new Error('the live version of the projection has no cursor');
  live.saw(first.position);
  return { data, position: first.position, asOf: first.as_of === '-infinity' ? null : first.as_of };
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
  cost: { confirmed: money(row.confirmed), wasted: money(row.wasted), unknownBound: money(row.unknown_bound) },
});

/** `usd` is exact at any size; `nanoUsd`, being a JSON number, up to 2^53 (9 million dollars). */
const money = (nanoUsd: string) => amount(BigInt(nanoUsd));

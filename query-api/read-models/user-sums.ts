/** What users spent: those who spent most, and all others in one sum. */
import { readSql } from '../../platform/postgres/sql-file.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { BY_USER, cheapestSegments, type Segment } from './segments.ts';
import type { Question, Reading } from './stats-reader.ts';

const USERS = versionedSql(import.meta.url, '../sql/users.sql');
const PART = readSql(import.meta.url, '../sql/users-part.sql').replace(/^--.*\n/gm, '');

export const COUNTED = [
  'prompts',
  'completed',
  'failed',
  'input_tokens',
  'output_tokens',
  'thought_tokens',
  'confirmed',
  'wasted',
  'unknown_bound',
  'unknown_attempts',
  'notional',
] as const;

/** As text, since a bigint may not fit a number. */
export type Sums = Record<(typeof COUNTED)[number], string>;
/** A row without a name speaks of so many `users`. */
export type UserSums = { user_id: string | null; users: string } & Sums;

export function takeOff(sum: Sums, part: Sums): void {
  for (const name of COUNTED) sum[name] = String(BigInt(sum[name]) - BigInt(part[name]));
}

/** The first `limit` of them, then all others in one row, if there are any. */
export async function readUsers(reading: Reading, { filter, point }: Question, limit: number): Promise<UserSums[]> {
  const { lists, version, range, toRead, data, corrections } = reading;
  const segments = cheapestSegments(toRead(range), BY_USER, data);
  const rows = await lists(usersSql(version, segments, filter), [
    filter.userId,
    filter.model,
    filter.emulated,
    JSON.stringify(corrections),
    point?.position ?? null,
    limit,
  ]);
  const found = rows.map(toSums);
  const all = found.at(-1);
  if (all?.user_id !== null) return found;
  const top = found.slice(0, -1);
  for (const row of top) takeOff(all, row);
  return [...top, { ...all, users: String(Number(all.users) - top.length) }];
}

const toSums = (row: (string | null)[]): UserSums => ({
  user_id: row[2] ?? null,
  users: row[3]!,
  prompts: row[4]!,
  completed: row[5]!,
  failed: row[6]!,
  input_tokens: row[7]!,
  output_tokens: row[8]!,
  thought_tokens: row[9]!,
  confirmed: row[10]!,
  wasted: row[11]!,
  unknown_bound: row[12]!,
  unknown_attempts: row[13]!,
  notional: row[14]!,
});

/** Only numbers and times made of numbers are put into the text; names travel as parameters. */
export function usersSql(
  version: number,
  segments: readonly Segment[],
  { userId, model }: { userId: string | null; model: string | null },
): string {
  const only = [...(userId === null ? [] : ['user_id = $1']), ...(model === null ? [] : ['model = $2'])];
  const parts = segments.map(({ level, from, to, sign }) => {
    const table = userId === null && model === null && level > 0 ? 'user_usage' : 'usage';
    const put: Record<string, string> = {
      table: `${table}_v${version}`,
      level: String(level),
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      sign: sign === 1 ? '' : '-',
      only: only.join(' AND ') || 'true',
    };
    return PART.replace(/\{\{(\w+)\}\}/g, (_, name: string) => put[name]!);
  });
  return USERS(version).replace('{{parts}}', () => parts.join(''));
}

/** A log as a release wrote it, and what that release answered about it. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredEvent } from '../kit/log-copy.ts';

export const STORED_LOGS = join(import.meta.dirname, '../data/stored-logs');

/** `events.jsonl` and `answers.json` of a release's folder. */
export type StoredLog = {
  release: string;
  events: StoredEvent[];
  /** SHA-256 of events.jsonl. */
  hash: string;
  golden: Golden;
};
export type Golden = { sha256: string; answers: { path: string; body: unknown }[] };

export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
export const toLines = (events: StoredEvent[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join('');

export const storedReleases = (): string[] => readdirSync(STORED_LOGS).sort();

export function readStoredLog(release: string): StoredLog {
  const text = readFileSync(join(STORED_LOGS, release, 'events.jsonl'), 'utf8');
  const events = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as StoredEvent);
  const golden = JSON.parse(readFileSync(join(STORED_LOGS, release, 'answers.json'), 'utf8')) as Golden;
  return { release, events, hash: hashOf(text), golden };
}

/** What is asked of the API, as an admin, about a log with these prompts. */
export function questions(promptIds: string[]): string[] {
  const all = 'emulated=include';
  return [
    ...promptIds.map((id) => `/prompts/${id}`),
    ...promptIds.map((id) => `/prompts/${id}/events`),
    '/prompts?limit=200',
    '/prompts?limit=200&q=tide',
    '/prompts?limit=200&status=failed',
    `/stats/users?${all}`,
    `/stats/models?${all}`,
    '/stats/models?emulated=only',
    ...['hour', 'day'].flatMap((bucket) =>
      ['model', 'user', 'status'].map((by) => `/stats/usage?${all}&bucket=${bucket}&groupBy=${by}`),
    ),
    `/stats/latency?${all}`,
  ];
}

/** Who comes first among users is a ranking, and today's: by what was paid, used or not. What their rows say is as it was. */
export function rankedAsToday(path: string, body: unknown): unknown {
  if (!path.startsWith('/stats/users') || !isObject(body)) return body;
  type Row = { userId: string; prompts: number; cost: Record<'confirmed' | 'wasted', { nanoUsd: number }> };
  const paid = ({ cost }: Row) => cost.confirmed.nanoUsd + cost.wasted.nanoUsd;
  const data = (body['data'] as Row[]).toSorted(
    (a, b) => paid(b) - paid(a) || b.prompts - a.prompts || (a.userId < b.userId ? -1 : 1),
  );
  return { ...body, data };
}

/** Fields may be added to an answer, none changed or dropped: every path at which `present` is not as `stored` was. */
export function differences(stored: unknown, present: unknown, at = ''): string[] {
  if (Array.isArray(stored) && Array.isArray(present)) {
    if (stored.length !== present.length)
      return [`${at}: ${stored.length} items were stored, ${present.length} are there`];
    return stored.flatMap((item, i) => differences(item, present[i], `${at}/${i}`));
  }
  if (isObject(stored) && isObject(present)) {
    return Object.entries(stored).flatMap(([name, value]) => differences(value, present[name], `${at}/${name}`));
  }
  return Object.is(stored, present)
    ? []
    : [`${at}: ${JSON.stringify(stored)} was stored, now ${JSON.stringify(present)}`];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

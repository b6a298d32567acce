/** Pages of prompts, newest first, by keyset: a page costs the same at any depth. */
import type pg from 'pg';
import type { Prompt } from '../../contracts/http/queries.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import type { LiveModel } from './live-model.ts';
import { boundsOf, type ListFilter, type PageKey, upperBound } from './page-bounds.ts';
import { type PromptRow, toView } from './prompt-reader.ts';
import type { ReadPool } from './reads.ts';
import { searchWords } from './word-search.ts';

const LIST = versionedSql(import.meta.url, '../sql/list.sql');
const COUNT = versionedSql(import.meta.url, '../sql/count-matching.sql');

export async function listPrompts(
  pool: ReadPool,
  live: LiveModel,
  filter: ListFilter,
  page: { after: PageKey | null; limit: number },
): Promise<{ data: Prompt[]; next: PageKey | null }> {
  const most = page.limit + 1; // one more tells whether there is a next page
  const rows = await live.read((version) => {
    if (!isBounded(filter)) return readRows(pool, version, filter, page.after, most, Number.MAX_SAFE_INTEGER);
    return inTransaction(
      pool,
      async (client) => {
        const there = await countMatching(client, version, filter);
        return there === 0 ? [] : readRows(client, version, filter, page.after, Math.min(most, there), there);
      },
      boundedSnapshot(filter),
    );
  });
  const data = rows.slice(0, page.limit).map(toView);
  const last = data.at(-1);
  const next = last && rows.length > page.limit ? { submittedAt: last.submittedAt, id: last.id } : null;
  return { data, next };
}

/** Of a filter with a status or a model the sums tell how many prompts there are at most. */
export const isBounded = ({ status, model }: ListFilter): boolean => status !== null || model !== null;

/**
 * No more prompts are looked for than have a status or a model: a page of those running, or of a model that nobody used, would
 * else go through every prompt there ever was. One snapshot, since the sums that tell it are written together with the
 * prompts. The few that have a rare status are most often the newest, which no plan knows: it would read all and sort.
 */
export function boundedSnapshot({ words, conversationId }: ListFilter): string {
  const begin = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off';
  return words === null && conversationId === null ? `${begin}; SET LOCAL enable_sort = off` : begin;
}

/** At most so many prompts are left by a filter, now. */
export async function countMatching(client: pg.PoolClient, version: number, filter: ListFilter): Promise<number> {
  const values = [filter.userId, filter.model, filter.status];
  const { rows } = await client.query<{ prompts: number }>({ text: COUNT(version), values });
  return rows[0]?.prompts ?? 0;
}

async function readRows(
  db: Pick<pg.Pool | pg.PoolClient, 'query'>,
  version: number,
  filter: ListFilter,
  after: PageKey | null,
  most: number,
  there: number,
): Promise<PromptRow[]> {
  const before = upperBound(filter.to, after);
  const { words } = filter;
  if (words !== null) {
    return searchWords(db, version, { filter: { ...filter, words }, before, most, there, position: null });
  }
  const values = [...boundsOf(filter, before), most];
  return (await db.query<PromptRow>({ text: LIST(version), values })).rows;
}

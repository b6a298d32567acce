/** Pages of prompts, newest first, by keyset: a page costs the same at any depth. */
import type pg from 'pg';
import type { Prompt } from '../../contracts/http/queries.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import type { LiveModel } from './live-model.ts';
import { type PromptRow, toView } from './prompt-reader.ts';

/** Nulls stand for any. `from` is inclusive, `to` exclusive, both RFC 3339. */
export type ListFilter = {
  userId: string | null;
  status: string | null;
  model: string | null;
  conversationId: string | null;
  words: string | null;
  from: string | null;
  to: string | null;
};

/** The last row of the page before. */
export type PageKey = { submittedAt: string; id: string };

const LIST = versionedSql(import.meta.url, '../sql/list.sql');
const MIN_UUID = '00000000-0000-0000-0000-000000000000';
const MAX_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export async function listPrompts(
  pool: Pick<pg.Pool, 'query'>,
  live: LiveModel,
  filter: ListFilter,
  page: { after: PageKey | null; limit: number },
): Promise<{ data: Prompt[]; next: PageKey | null }> {
  const before = upperBound(filter.to, page.after);
  const rows = await live.read(async (version) => {
    const values = [
      filter.userId,
      filter.status,
      filter.model,
      filter.conversationId,
      filter.words,
      filter.from ?? '-infinity',
      before.submittedAt,
      before.id,
      page.limit + 1, // one more tells whether there is a next page
    ];
    const answer = await pool.query<PromptRow>({ text: LIST(version), values });
    return answer.rows;
  });
  const data = rows.slice(0, page.limit).map(toView);
  const last = data.at(-1);
  const next = last && rows.length > page.limit ? { submittedAt: last.submittedAt, id: last.id } : null;
  return { data, next };
}

/** One bound, the tighter of both: an index scan starts at it. */
export function upperBound(to: string | null, after: PageKey | null): PageKey {
  if (after && (to === null || Date.parse(after.submittedAt) <= Date.parse(to))) return after;
  return to === null ? { submittedAt: 'infinity', id: MAX_UUID } : { submittedAt: to, id: MIN_UUID };
}

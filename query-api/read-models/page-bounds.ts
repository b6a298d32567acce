/** What a page of prompts is asked for by, and where it begins. */

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

export const MIN_UUID = '00000000-0000-0000-0000-000000000000';
const MAX_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** Parameters $1 to $7 of list.sql and those that take them as it does. */
export const boundsOf = (filter: ListFilter, before: PageKey): (string | null)[] => [
  filter.userId,
  filter.status,
  filter.model,
  filter.conversationId,
  filter.from ?? '-infinity',
  before.submittedAt,
  before.id,
];

/** One bound, the tighter of both: an index scan starts at it. */
export function upperBound(to: string | null, after: PageKey | null): PageKey {
  if (after && (to === null || Date.parse(after.submittedAt) <= Date.parse(to))) return after;
  return to === null ? { submittedAt: 'infinity', id: MAX_UUID } : { submittedAt: to, id: MIN_UUID };
}

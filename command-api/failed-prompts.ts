/** Which prompts a bulk redrive is about, as the read model has them: candidates, decided one by one afterwards. */
import type pg from 'pg';
import { findLiveVersion, readLiveVersion } from '../platform/postgres/live-version.ts';
import { versionedSql } from '../platform/postgres/versioned-sql.ts';

/** Nulls stand for any. `from` is inclusive, `to` exclusive, both RFC 3339. */
export type FailedFilter = {
  userId: string | null;
  model: string | null;
  code: string | null;
  conversationId: string | null;
  from: string | null;
  to: string | null;
};

/** Ids, oldest first. `expired` can never be sent again; `more`: further ones than `open` could be. */
export type FailedPrompts = { open: string[]; expired: string[]; more: boolean };

const FAILED_PROMPTS = versionedSql(import.meta.url, 'sql/failed-prompts.sql');

/**
 * At most `limit` of both. Those that have expired fill what the others leave: they stay failed for ever, and in front
 * they would keep a client that calls again, while there is more, from ever coming to what it can redrive.
 */
export async function findFailed(
  pool: Pick<pg.Pool, 'query'>,
  filter: FailedFilter,
  limit: number,
  now: Date,
): Promise<FailedPrompts> {
  const { userId, model, code, conversationId, from, to } = filter;
  const matching = [userId, model, code, conversationId, from ?? '-infinity', to ?? 'infinity', now.toISOString()];
  const find = (version: number) => async (expired: boolean, rows: number) => {
    const text = FAILED_PROMPTS(version);
    const found = await pool.query<{ prompt_id: string }>({ text, values: [...matching, expired, rows] });
    return found.rows.map((row) => row.prompt_id);
  };
  return readLiveVersion(
    () => findLiveVersion(pool),
    async (version) => {
      const idsOf = find(version);
      const open = await idsOf(false, limit + 1); // one more tells whether there are further ones
      if (open.length > limit) return { open: open.slice(0, limit), expired: [], more: true };
      const room = limit - open.length;
      return { open, expired: room > 0 ? await idsOf(true, room) : [], more: false };
    },
  );
}

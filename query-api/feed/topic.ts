/** What a subscription covers: one user's prompts, one prompt, or (an admin's) all. */
import type pg from 'pg';
import { LogArchivedError, LogGapError } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { FeedEvent } from './frame.ts';

export type Topic = { kind: 'all' } | { kind: 'user'; userId: string } | { kind: 'prompt'; promptId: string };

type Db = Pick<pg.Pool, 'query'>;
type Row = { position: number; stream_id: string; type: string; user_id: string; traceparent: string | null };
type WithFloor = { floor: number } & (Row | { position: null });

const FEED_ALL = readSql(import.meta.url, '../sql/feed-all.sql');
const FEED_USER = readSql(import.meta.url, '../sql/feed-user.sql');
const FEED_PROMPT = readSql(import.meta.url, '../sql/feed-prompt.sql');
const FEED_USER_BEHIND = readSql(import.meta.url, '../sql/feed-user-behind.sql');

/**
 * The topic's events with `after < position ≤ upTo`, oldest first; of all events none may be missing. Throws
 * `LogArchivedError` when some of them may have left the log.
 */
export async function readPage(db: Db, topic: Topic, after: number, upTo: number, limit: number): Promise<FeedEvent[]> {
  const answer = await db.query<WithFloor>(
    topic.kind === 'all'
      ? { name: 'feed-all', text: FEED_ALL, values: [after, upTo, limit] }
      : topic.kind === 'user'
        ? { text: FEED_USER, values: [after, upTo, limit, topic.userId] }
        : { text: FEED_PROMPT, values: [after, upTo, limit, topic.promptId] },
  );
  const floor = answer.rows[0]?.floor ?? 0;
  if (after < floor) throw new LogArchivedError(after, floor);
  const rows = answer.rows.filter((row) => row.position !== null);
  if (topic.kind === 'all') assertGapless(rows, after);
  return rows.map((row) => ({
    position: row.position,
    promptId: row.stream_id,
    userId: row.user_id,
    type: row.type,
    traceparent: row.traceparent,
  }));
}

/** Whether more than `events` of the topic lie in `after < position ≤ upTo`. */
export async function isFarBehind(db: Db, topic: Topic, after: number, upTo: number, events: number): Promise<boolean> {
  // Positions are gapless: no topic has more events than there are positions. A prompt's stream is short.
  if (upTo - after <= events || topic.kind === 'prompt') return false;
  if (topic.kind === 'all') return true;
  const { rows } = await db.query<{ behind: boolean }>({
    text: FEED_USER_BEHIND,
    values: [after, upTo, events, topic.userId],
  });
  return rows[0]?.behind ?? false;
}

function assertGapless(rows: Row[], after: number): void {
  rows.forEach((row, i) => {
    if (row.position !== after + 1 + i) {
      throw new LogGapError(`position ${after + 1 + i} is missing from the log, found ${row.position}`);
    }
  });
}

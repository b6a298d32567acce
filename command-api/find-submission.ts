import type pg from 'pg';
import type { EventMetadata } from '../contracts/envelope.ts';
import { readSql } from '../platform/postgres/sql-file.ts';

const FIND = readSql(import.meta.url, 'sql/find-submission.sql');

export type Submitted = {
  streamId: string;
  position: number;
  recordedAt: string;
  metadata: Pick<EventMetadata, 'bodyHash'>;
};

/** Null when nothing was accepted under this event id; also of prompts whose events are archived. */
export async function findSubmission(db: Pick<pg.Pool, 'query'>, eventId: string): Promise<Submitted | null> {
  const { rows } = await db.query<Submitted>({ name: 'find-submission', text: FIND, values: [eventId] });
  return rows[0] ?? null;
}

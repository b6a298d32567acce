/** Streams that have left the log: that they were there, and whose they are, stays known. */
import type pg from 'pg';
import type { PromptStatus } from '../../contracts/prompt/state.ts';
import { readSql } from './sql-file.ts';

const FIND = readSql(import.meta.url, 'sql/find-archived.sql');

export type ArchivedPrompt = { userId: string; status: PromptStatus };

/** Null: no such stream has left the log. Asked after the log was: a stream is in one of both. */
export async function findArchived(db: Pick<pg.Pool, 'query'>, promptId: string): Promise<ArchivedPrompt | null> {
  const { rows } = await db.query<ArchivedPrompt>({ name: 'find-archived', text: FIND, values: [promptId] });
  return rows[0] ?? null;
}

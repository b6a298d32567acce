import type pg from 'pg';
import { newId } from '../../platform/ids.ts';

/** Appends an event that this build does not know, as a later release may have written it; in a new stream, or behind its last. */
export async function appendStrange(
  pool: pg.Pool,
  streamId: string,
  { type = 'PromptVanished', schemaVersion = 1 }: { type?: string; schemaVersion?: number } = {},
): Promise<void> {
  const data = { userId: 'ada', model: 'gemini-2.5-flash', submittedAt: '2026-11-01T00:00:00.000Z' };
  const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:x' };
  const event = { i: newId(), t: type, n: schemaVersion, d: data, m: metadata };
  const { rows } = await pool.query<{ status: string }>('SELECT status FROM append_events_v3($1)', [
    JSON.stringify([{ s: streamId, v: null, e: [event], o: null }]),
  ]);
  if (rows[0]?.status !== 'appended') throw new Error(`not appended: ${JSON.stringify(rows)}`);
}

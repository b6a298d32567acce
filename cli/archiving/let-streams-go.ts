/** Which streams leave the log: those that lie wholly at or below the floor and have ended for good. */
import type pg from 'pg';
import { isClosed } from '../../contracts/prompt/closed.ts';
import { fold, isTerminal, type PromptState } from '../../contracts/prompt/state.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { type EventRow, readStreamRows, toEvent } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';

/** Why a stream stays; `held`: it was changed meanwhile, or is set aside by a projection. */
export type Reason = 'open' | 'continues' | 'failed' | 'cost_unknown' | 'unreadable' | 'held';

export type Left = { streams: number; events: number; kept: Partial<Record<Reason, number>> };

export type Leaving = { s: string; v: number; t: string };

export type LeaveOptions = {
  pool: pg.Pool;
  floor: number;
  /** RFC 3339 */
  now: string;
  signal: AbortSignal;
  /** Null: only counted. */
  letGo: ((streams: Leaving[]) => Promise<{ streams: number; events: number }>) | null;
  onPage: (position: number) => void;
};

const PAGE = 500;
/** In one transaction, for which appends wait: a few milliseconds. */
const BATCH = 100;

const BEGUN = readSql(import.meta.url, 'sql/streams-begun.sql');

export async function letStreamsGo(options: LeaveOptions): Promise<Left> {
  const { pool, floor } = options;
  const left: Left = { streams: 0, events: 0, kept: {} };
  const keep = (reason: Reason, count: number) => {
    if (count > 0) left.kept[reason] = (left.kept[reason] ?? 0) + count;
  };
  for (let after = 0; ; ) {
    options.signal.throwIfAborted();
    const { rows } = await pool.query<{ position: number; stream_id: string }>(BEGUN, [after, floor, PAGE]);
    const last = rows.at(-1);
    if (!last) return left;
    const streams = await readStreamRows(
      pool,
      rows.map((row) => row.stream_id),
    );
    const leaving: { stream: Leaving; events: number }[] = [];
    for (const [streamId, events] of streams) {
      const judged = judge(events, floor, options.now);
      if (typeof judged === 'string') keep(judged, 1);
      else leaving.push({ stream: { s: streamId, v: judged.version, t: judged.status }, events: events.length });
    }
    for (let at = 0; at < leaving.length; at += BATCH) {
      const batch = leaving.slice(at, at + BATCH);
      const gone = options.letGo
        ? await options.letGo(batch.map(({ stream }) => stream))
        : { streams: batch.length, events: batch.reduce((sum, { events }) => sum + events, 0) };
      left.streams += gone.streams;
      left.events += gone.events;
      keep('held', batch.length - gone.streams);
      await failPoint('archive.streams_left');
    }
    after = last.position;
    options.onPage(after);
  }
}

function judge(rows: EventRow[], floor: number, now: string): PromptState | Reason {
  if (rows.at(-1)!.position > floor) return 'continues';
  let state: PromptState | null;
  try {
    state = fold(rows.map(toEvent));
  } catch {
    return 'unreadable'; // told by the projector, which has set it aside; nobody can say that it has ended
  }
  if (!state) return 'unreadable';
  if (isClosed(state, now)) return state;
  if (!isTerminal(state.status)) return 'open';
  const butForCosts = { ...state, attempts: [] };
  return isClosed(butForCosts, now) ? 'cost_unknown' : 'failed';
}

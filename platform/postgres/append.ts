/** The log's writer as a port, and the one call behind it. */
import type pg from 'pg';
import type { EventMetadata } from '../../contracts/envelope.ts';
import { type EventType, schemaVersions } from '../../contracts/prompt/events.ts';
import { isLocked } from './sqlstate.ts';

/** Change of the prompt's outbox row in the append's own transaction; fields as in migrations/3_append_events.sql. */
export type OutboxWrite =
  | {
      op: 'open';
      user: string;
      model: string;
      lane: 0 | 1 | 2;
      due?: string | null;
      expires?: string | null;
      /** It must not have expired, by the server's clock. */
      unexpired?: true;
      trace?: string | null;
      attempt?: number;
    }
  | {
      op: 'claim';
      dispatch: number;
      token: string;
      worker: string;
      attempt: number;
      lease: number;
      hold: number | null;
    }
  | { op: 'reschedule'; after: number; token?: string; dead?: true; expired?: true }
  | { op: 'close'; token?: string }
  | { op: 'drop'; token?: string; dead?: true; expired?: true };

export type EventToAppend = { eventId: string; type: EventType; data: unknown; metadata: EventMetadata };

export type Append = {
  streamId: string;
  /** null: any; 0: the stream must not exist. */
  expectedVersion: number | null;
  events: EventToAppend[];
  outbox: OutboxWrite | null;
};

export type AppendResult =
  | { status: 'appended'; streamId: string; version: number; position: number; recordedAt: string }
  /** One of the ids is in the log: nothing was written; this is what stands there. */
  | {
      status: 'duplicate';
      streamId: string;
      version: number;
      position: number;
      recordedAt: string;
      type: EventType;
      metadata: EventMetadata;
    }
  | { status: 'conflict'; reason: 'version' | 'outbox' | 'call' };

export type AppendEvents = (append: Append) => Promise<AppendResult>;

type Row = {
  status: 'appended' | 'duplicate' | 'conflict';
  reason: 'version' | 'outbox' | 'call' | null;
  stream_id: string;
  version: number;
  position: number;
  recorded_at: string;
  stored_type: EventType;
  stored_metadata: EventMetadata;
};

export const APPEND_FUNCTION = 'append_events_v3';

/**
 * What is stored is of interest for a duplicate alone; every other append is spared sending and parsing it.
 *
 * With synchronous standbys a commit whose wait was broken off (a crash, a backend that was ended or cancelled) stands
 * here and perhaps nowhere else. Finding it again writes nothing and would wait for nobody: a message in the log of the
 * server makes this commit wait as a first one does, and what comes before it is on the standby then, too.
 */
const STATEMENT = `SELECT status, reason, stream_id, version, position, recorded_at,
       CASE status WHEN 'duplicate' THEN stored_type END AS stored_type,
       CASE status WHEN 'duplicate' THEN stored_metadata END AS stored_metadata,
       CASE WHEN status = 'duplicate' AND current_setting('synchronous_standby_names') <> ''
            THEN pg_logical_emit_message(true, 'append_events', 'duplicate') END AS awaited
  FROM ${APPEND_FUNCTION}($1::jsonb) ORDER BY ord`;

/** Of the server's source, where the wait for a standby is broken off: the notice has no SQLSTATE of its own. */
const BROKEN_WAIT = 'SyncRepWaitForLSN';

/** Committed here, and on no standby that was to have it: not to be told to anybody. As SQL names it, 40003. */
export class UnreplicatedError extends Error {
  readonly code = '40003';
}

/** The text that travels for one append; the batcher counts its bytes. */
export const encodeAppend = (append: Append): string =>
  JSON.stringify({
    s: append.streamId,
    v: append.expectedVersion,
    e: append.events.map((event) => ({
      i: event.eventId,
      t: event.type,
      n: schemaVersions[event.type],
      d: event.data,
      m: event.metadata,
    })),
    o: append.outbox,
  });

/**
 * Resolves when a standby has all that is in the log by now, where one is waited for at all: what a look at the log found may
 * stand here alone. Throws `UnreplicatedError`.
 */
export async function awaitStandby(pool: pg.Pool): Promise<void> {
  await heardInFull(pool, {
    name: 'await-standby',
    text: `SELECT pg_logical_emit_message(true, 'append_events', 'found')
            WHERE current_setting('synchronous_standby_names') <> ''`,
  });
}

/** One call, one transaction; answers in the order of `encoded`. Never inside a client's BEGIN. Throws `UnreplicatedError`. */
export async function appendCall(pool: pg.Pool, encoded: string[]): Promise<AppendResult[]> {
  const rows = await heardInFull<Row>(pool, {
    name: APPEND_FUNCTION,
    text: STATEMENT,
    values: [`[${encoded.join(',')}]`],
  });
  return rows.map(toResult);
}

/** Rows of a statement whose commit was waited for by whoever was to have it, too. */
async function heardInFull<R extends pg.QueryResultRow>(pool: pg.Pool, statement: pg.QueryConfig): Promise<R[]> {
  const client = await pool.connect();
  let failed: Error | undefined;
  let isUnreplicated = false;
  const onNotice = ({ routine }: { routine?: string | undefined }) => {
    isUnreplicated ||= routine === BROKEN_WAIT;
  };
  client.on('notice', onNotice);
  try {
    const { rows } = await client.query<R>(statement);
    if (isUnreplicated) throw new UnreplicatedError('the wait for a standby was broken off, the commit is local');
    return rows;
  } catch (error) {
    failed = error as Error;
    throw error;
  } finally {
    client.off('notice', onNotice);
    // Of a row that is held nothing is wrong with the connection; a new one would cost more than the statement.
    client.release(isLocked(failed) ? undefined : failed);
  }
}

function toResult(row: Row): AppendResult {
  const place = { streamId: row.stream_id, version: row.version, position: row.position, recordedAt: row.recorded_at };
  switch (row.status) {
    case 'appended':
      return { status: 'appended', ...place };
    case 'duplicate':
      return { status: 'duplicate', ...place, type: row.stored_type, metadata: row.stored_metadata };
    case 'conflict':
      return { status: 'conflict', reason: row.reason ?? 'call' };
  }
}

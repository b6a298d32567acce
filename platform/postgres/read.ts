/** The log's readers. Positions are gapless and in commit order, so a cursor is all a reader needs. */
import type pg from 'pg';
import type { EventMetadata, PlacedEvent, RecordedEvent } from '../../contracts/envelope.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import { upcast } from '../../contracts/prompt/upcast.ts';
import { readSql } from './sql-file.ts';

type Db = Pick<pg.Pool | pg.PoolClient, 'query'>;

export type EventRow = {
  position: number;
  stream_id: string;
  version: number;
  event_id: string;
  type: string;
  schema_version: number;
  data: Record<string, unknown>;
  metadata: EventMetadata;
  recorded_at: string;
};

/** What a fold reads of it. */
export type PlacedRow = Omit<EventRow, 'event_id' | 'metadata'>;

const READ_PLACED = readSql(import.meta.url, 'sql/read-placed.sql');
const READ_ALL = readSql(import.meta.url, 'sql/read-all.sql');
const READ_STREAMS = readSql(import.meta.url, 'sql/read-streams.sql');
const READ_BARE_STREAMS = readSql(import.meta.url, 'sql/read-bare-streams.sql');
const READ_USER = readSql(import.meta.url, 'sql/read-user.sql');

/** Lifts a row to the shapes of contracts/; throws `UnknownEventError` on one this build does not know. */
export function toEvent(row: EventRow): RecordedEvent {
  return { ...envelopeOf(row), data: upcast(row.type, row.schema_version, row.data) } as RecordedEvent;
}

/** The same, of what a fold reads. */
export const toPlacedEvent = (row: PlacedRow): PlacedEvent =>
  ({
    position: row.position,
    streamId: row.stream_id,
    version: row.version,
    recordedAt: row.recorded_at,
    type: row.type,
    data: upcast(row.type, row.schema_version, row.data),
  }) as PlacedEvent;

/** All of an event but its data, which is all that is known of one that this build does not know. */
export const envelopeOf = (row: EventRow) => ({
  position: row.position,
  streamId: row.stream_id,
  version: row.version,
  eventId: row.event_id,
  type: row.type,
  schemaVersion: row.schema_version,
  metadata: row.metadata,
  recordedAt: row.recorded_at,
});

/** A hole means that somebody wrote past `append_events`: nothing derived from this log can be trusted. */
export class LogGapError extends Error {
  readonly code: string = 'log_gap';
}

/** No hole: what is asked for lies at or below the floor, in an archive. */
export class LogArchivedError extends LogGapError {
  override readonly code = 'log_archived';
  constructor(after: number, floor: number) {
    super(`events after position ${after} are asked for, those up to ${floor} are archived`);
  }
}

/** Rows with `after < position ≤ upTo`, as stored; asserts that none is missing. `after` is the floor or above it. */
export async function readAll(
  db: Db,
  after: number,
  limit: number,
  upTo = Number.MAX_SAFE_INTEGER,
): Promise<EventRow[]> {
  const { rows } = await db.query<EventRow>({ name: 'read-all', text: READ_ALL, values: [after, upTo, limit] });
  return gapless(db, after, rows);
}

/** The same rows, of what a fold reads. */
export async function readPlaced(db: Db, after: number, limit: number, upTo: number): Promise<PlacedRow[]> {
  const { rows } = await db.query<PlacedRow>({ name: 'read-placed', text: READ_PLACED, values: [after, upTo, limit] });
  return gapless(db, after, rows);
}

async function gapless<Row extends PlacedRow>(db: Db, after: number, rows: Row[]): Promise<Row[]> {
  const at = rows.findIndex(({ position }, i) => position !== after + 1 + i);
  if (at === -1) return rows;
  const { floor } = await readBounds(db);
  if (after < floor) throw new LogArchivedError(after, floor);
  throw new LogGapError(`position ${after + 1 + at} is missing from the log, found ${rows[at]!.position}`);
}

export async function readUser(
  db: Db,
  userId: string,
  after: number,
  upTo: number,
  limit: number,
): Promise<EventRow[]> {
  const { rows } = await db.query<EventRow>({
    name: 'read-user',
    text: READ_USER,
    values: [userId, after, upTo, limit],
  });
  return rows;
}

/** Streams by id as stored, each in order; ids without events are absent. */
export async function readStreamRows(db: Db, streamIds: string[]): Promise<Map<string, EventRow[]>> {
  const { rows } = await db.query<EventRow>({ name: 'read-streams', text: READ_STREAMS, values: [streamIds] });
  return Map.groupBy(rows, (row) => row.stream_id);
}

/** What a fold needs of the same up to a position, which may be a hundredth: no texts, no usage blocks, no metadata. */
export async function readBareStreams(db: Db, streamIds: string[], upTo: number): Promise<Map<string, EventRow[]>> {
  const { rows } = await db.query<EventRow>({
    name: 'read-bare-streams',
    text: READ_BARE_STREAMS,
    values: [streamIds, upTo],
  });
  return Map.groupBy(rows, (row) => row.stream_id);
}

/** Whole streams, lifted to the shapes of contracts/; one event that this build does not know fails them all. */
export async function readStreams(db: Db, streamIds: string[]): Promise<Map<string, RecordedEvent[]>> {
  const streams = await readStreamRows(db, streamIds);
  return new Map([...streams].map(([id, rows]) => [id, rows.map(toEvent)]));
}

/** The `ReadPrompt` of decide-and-append.ts. */
export async function readPrompt(
  db: Db,
  promptId: string,
): Promise<{ state: PromptState; events: RecordedEvent[] } | null> {
  const events = (await readStreams(db, [promptId])).get(promptId);
  const state = events ? fold(events) : null;
  return events && state ? { state, events } : null;
}

export type LogBounds = {
  /** The last position given; 0 for an empty log. */
  head: number;
  /** Positions up to here are in an archive; 0: the log is whole. */
  floor: number;
  /** Of the event at the floor; null: the log is whole. */
  floorEventId: string | null;
};

export async function readBounds(db: Db): Promise<LogBounds> {
  const text = 'SELECT position AS head, floor, floor_event_id AS "floorEventId" FROM log_head';
  const { rows } = await db.query<LogBounds>({ name: 'read-bounds', text });
  return rows[0] ?? { head: 0, floor: 0, floorEventId: null };
}

export const readHead = async (db: Db): Promise<number> => (await readBounds(db)).head;

/** The beginning of a log of several copies as `npm run archive` leaves it: its events are never written to the table. */
import type pg from 'pg';
import { eventIdAt } from '../../../cli/archiving/archive-target.ts';
import { type Leaving, letStreamsGo } from '../../../cli/archiving/let-streams-go.ts';
import { SEGMENT_EVENTS } from '../../../cli/archiving/write-segments.ts';
import { makeDurableFolder } from '../../../platform/archive/durable-file.ts';
import { type Segment, writeManifest } from '../../../platform/archive/manifest.ts';
import { writeSegment } from '../../../platform/archive/write-segment.ts';
import { readBounds } from '../../../platform/postgres/read.ts';
import { type LogLine, readLines } from '../../../platform/postgres/read-lines.ts';
import { readServerTime } from '../../../platform/postgres/server-clock.ts';
import { withPool } from './base.ts';
import type { Floor } from './floor.ts';
import type { Order } from './order.ts';
import { type Copying, idsOf, type Line, templateOf, timeOf } from './template.ts';

export type ArchiveTo = {
  /** Folder that is empty or not there yet. */
  dir: string;
  /** Events recorded before this time, RFC 3339. */
  before: string;
};

const PAGE = 500;

/** Streams of the log that have ended for good, as the tool judges them. */
export async function closedStreams(uri: string): Promise<Leaving[]> {
  const closed: Leaving[] = [];
  await withPool(uri, async (pool) =>
    letStreamsGo({
      pool,
      floor: (await readBounds(pool)).head,
      now: new Date((await readServerTime(pool)).atMs).toISOString(),
      signal: new AbortController().signal,
      letGo: async (streams) => {
        closed.push(...streams);
        return { streams: streams.length, events: 0 };
      },
      onPage: () => {},
    }),
  );
  return closed;
}

/** `work` sees all that has ended for good in archived_stream; nothing of that stays. */
export async function asIfArchived<T>(owner: pg.Client, closed: Leaving[], work: () => Promise<T>): Promise<T> {
  await owner.query('BEGIN');
  try {
    const { rows } = await owner.query<{ position: number }>('SELECT position FROM log_head');
    await owner.query('SELECT raise_floor_v1($1, $2)', [rows[0]!.position, await eventIdAt(owner, rows[0]!.position)]);
    await owner.query('SELECT archive_streams_v1($1)', [JSON.stringify(closed)]);
    return await work();
  } finally {
    await owner.query('ROLLBACK');
  }
}

/** The first event's, which no copying changes: what else a first archive does, in the database that is still the base. */
export async function raiseFloor(owner: pg.Client): Promise<void> {
  await owner.query('SELECT raise_floor_v1(1, $1)', [await eventIdAt(owner, 1)]);
}

/** An event of the log, and what it is in each copy. */
export type Archivable = Pick<LogLine, 'type' | 'schema_version'> & { line: Line; eventId: Line; recordedMs: number };

export async function readArchivable(uri: string, copying: Copying): Promise<Archivable[]> {
  const rows = await withPool(uri, async (pool) => {
    const { head } = await readBounds(pool);
    return readLines(pool, 0, head, head);
  });
  return rows.map(({ type, schema_version, event_id, recorded_at, line }) => ({
    type,
    schema_version,
    line: templateOf(line, ['line'], true, copying),
    eventId: idsOf(event_id),
    recordedMs: Date.parse(recorded_at),
  }));
}

/** All events up to the floor, in segments as the tool cuts them, and the manifest of them. */
export async function writeArchive(
  dir: string,
  events: readonly Archivable[],
  order: Order,
  floor: Floor,
  onSegment: (segment: Segment) => void,
): Promise<void> {
  await makeDurableFolder(dir);
  const segments: Segment[] = [];
  for (let done = 0; done < floor.position; ) {
    const upTo = Math.min(floor.position, done + SEGMENT_EVENTS);
    const segment = await writeSegment(dir, pages(events, order, done, upTo));
    segments.push(segment);
    onSegment(segment);
    done = upTo;
  }
  await writeManifest(dir, segments);
}

async function* pages(
  events: readonly Archivable[],
  { sequence, shifts, copies }: Order,
  after: number,
  upTo: number,
): AsyncGenerator<LogLine[]> {
  for (let from = after; from < upTo; from += PAGE) {
    const page: LogLine[] = [];
    for (let i = from; i < Math.min(upTo, from + PAGE); i += 1) {
      const e = Math.floor(sequence[i]! / copies);
      const k = sequence[i]! - e * copies;
      const { type, schema_version, line, eventId, recordedMs } = events[e]!;
      page.push({
        position: i + 1,
        event_id: eventId(k),
        type,
        schema_version,
        recorded_at: timeOf(recordedMs + shifts[k]!),
        line: line(k),
      });
    }
    yield page;
  }
}

/** After everything else is written. */
export async function setFloor(
  owner: pg.Client,
  events: readonly Archivable[],
  order: Order,
  floor: Floor,
): Promise<void> {
  const { copies, sequence, shifts } = order;
  const at = sequence[floor.position - 1]!;
  const event = events[Math.floor(at / copies)]!;
  const k = at % copies;
  await owner.query('UPDATE log_head SET floor = $1, floor_event_id = $2, floor_recorded_at = $3', [
    floor.position,
    event.eventId(k),
    timeOf(event.recordedMs + shifts[k]!),
  ]);
}

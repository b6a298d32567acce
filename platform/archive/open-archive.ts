/** An archive that is read in place of the part of the log that has left its table. */
import type { EventRow, LogBounds } from '../postgres/read.ts';
import { ArchiveError } from './archive-error.ts';
import { readManifest, type Segment } from './manifest.ts';
import { checkSegment, readSegment } from './read-segment.ts';

export type LogArchive = {
  /** Up to here the archive is read, from here on the table. */
  floor: number;
  /** Events with `after < position ≤ upTo`, gapless; `upTo` is the floor at most. Fast when it goes on where it was. */
  read: (after: number, limit: number, upTo: number) => Promise<EventRow[]>;
  /** The last position recorded at or before a time; null before the first event. */
  positionAt: (time: string) => Promise<number | null>;
  close: () => Promise<void>;
};

/** Reads all of it once: throws `ArchiveError` unless it is whole up to the floor, unchanged, and of this very log. */
export async function openArchive(dir: string, bounds: LogBounds): Promise<LogArchive> {
  const { floor } = bounds;
  const segments = (await readManifest(dir)).filter(({ from }) => from <= floor);
  await checkOfLog(dir, segments, bounds);
  for (const segment of segments) await checkSegment(dir, segment);

  let at = { position: -1, events: null as AsyncGenerator<EventRow> | null };
  const close = async () => {
    await at.events?.return(undefined);
    at = { position: -1, events: null };
  };

  return {
    floor,
    read: async (after, limit, upTo) => {
      if (at.position !== after) {
        await close();
        at = { position: after, events: eventsAfter(dir, segments, after) };
      }
      const rows: EventRow[] = [];
      while (rows.length < limit && at.position < Math.min(upTo, floor)) {
        const next = await at.events!.next();
        if (next.done) throw new ArchiveError(`The archive in ${dir} ends at position ${at.position}.`);
        rows.push(next.value);
        at.position = next.value.position;
      }
      return rows;
    },
    positionAt: async (time) => {
      // Segments are in the order of time: only the one that holds the moment is read.
      const segment = segments.findLast(({ firstRecordedAt }) => firstRecordedAt <= time);
      if (!segment) return null;
      let position = segment.from;
      for await (const row of readSegment(dir, segment)) {
        if (row.recorded_at > time || row.position > floor) break;
        position = row.position;
      }
      return position;
    },
    close,
  };
}

/** That its event at the floor is the log's. Throws `ArchiveError`. */
export async function checkOfLog(
  dir: string,
  segments: Segment[],
  { floor, floorEventId }: Pick<LogBounds, 'floor' | 'floorEventId'>,
): Promise<void> {
  if (floor === 0) return;
  const segment = segments.find(({ from, to }) => from <= floor && floor <= to);
  if (!segment) {
    const has = segments.length === 0 ? 'There is no archive' : `The archive ends at position ${segments.at(-1)!.to}`;
    throw new ArchiveError(`${has} in ${dir}; events up to ${floor} have left the log.`);
  }
  const eventId = segment.to === floor ? segment.lastEventId : await eventIdAt(dir, segment, floor);
  if (eventId !== floorEventId)
    throw new ArchiveError(
      `The archive in ${dir} is of another log: position ${floor} has event ${eventId} there, here ${floorEventId}.`,
    );
}

async function eventIdAt(dir: string, segment: Segment, position: number): Promise<string | null> {
  await checkSegment(dir, segment);
  for await (const row of readSegment(dir, segment, position - 1)) return row.event_id;
  return null;
}

async function* eventsAfter(dir: string, segments: Segment[], after: number): AsyncGenerator<EventRow> {
  for (const segment of segments) {
    if (segment.to > after) yield* readSegment(dir, segment, after);
  }
}

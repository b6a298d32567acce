/** The log's next segments: each is read back from the disk, to the last event, before the manifest names it. */
import type pg from 'pg';
import { ArchiveError } from '../../platform/archive/archive-error.ts';
import { type Segment, writeManifest } from '../../platform/archive/manifest.ts';
import { checkSegment, readSegment } from '../../platform/archive/read-segment.ts';
import { writeSegment } from '../../platform/archive/write-segment.ts';
import { failPoint } from '../../platform/fail-points.ts';
import type { LogBounds } from '../../platform/postgres/read.ts';
import { type LogLine, readLines } from '../../platform/postgres/read-lines.ts';
import { eventIdAt } from './archive-target.ts';

const PAGE = 500;
export const SEGMENT_EVENTS = 100_000;
/** Characters of JSON; a segment is a tenth of that on disk. */
const SEGMENT_CHARACTERS = 256_000_000;

export type WriteOptions = {
  pool: pg.Pool;
  dir: string;
  /** What the manifest names already. */
  present: Segment[];
  target: number;
  signal: AbortSignal;
  segmentEvents?: number;
};

/** Yields each segment once it counts. */
export async function* writeSegments(options: WriteOptions): AsyncGenerator<Segment> {
  const { pool, dir, target, signal, segmentEvents = SEGMENT_EVENTS } = options;
  const segments = [...options.present];
  let position = segments.at(-1)?.to ?? 0;
  while (position < target) {
    const upTo = Math.min(target, position + segmentEvents);
    const segment = await writeSegment(dir, pages(pool, position, upTo, signal));
    await failPoint('archive.segment_written');
    await readBack(dir, segment);
    segments.push(segment);
    await writeManifest(dir, segments);
    await failPoint('archive.segment_counted');
    position = segment.to;
    yield segment;
  }
}

async function* pages(pool: pg.Pool, after: number, upTo: number, signal: AbortSignal): AsyncGenerator<LogLine[]> {
  let [position, characters] = [after, 0];
  while (position < upTo && characters < SEGMENT_CHARACTERS) {
    signal.throwIfAborted();
    const page = await readLines(pool, position, PAGE, upTo);
    position = page.at(-1)!.position;
    for (const { line } of page) characters += line.length;
    yield page;
  }
}

/** Throws `ArchiveError` unless every event comes out of the file again. */
async function readBack(dir: string, segment: Segment): Promise<void> {
  await checkSegment(dir, segment);
  let last: string | undefined;
  for await (const row of readSegment(dir, segment)) last = row.event_id;
  if (last !== segment.lastEventId)
    throw new ArchiveError(`${segment.file} ends with event ${last}, not ${segment.lastEventId}.`);
}

/**
 * Segments beyond the floor, of a run that was broken off: still whole, and of this log. What lies below was checked by its
 * own run, and may be elsewhere by now.
 */
export async function checkAgainstLog(
  pool: pg.Pool,
  dir: string,
  present: Segment[],
  { head, floor }: LogBounds,
): Promise<void> {
  for (const segment of present.filter(({ to }) => to > floor)) {
    if (segment.to > head || (await eventIdAt(pool, segment.to)) !== segment.lastEventId)
      throw new ArchiveError(`The archive in ${dir} is of another log: ${segment.file} ends with an event not there.`);
    await readBack(dir, segment);
  }
}

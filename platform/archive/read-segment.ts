/** A segment's events, as the log's readers give them. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { pipeline as piped } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { EventRow } from '../postgres/read.ts';
import { ArchiveError } from './archive-error.ts';
import type { Segment } from './manifest.ts';

/** Throws `ArchiveError` unless the file is, to the bit, the one that was written. */
export async function checkSegment(dir: string, { file, sha256 }: Segment): Promise<void> {
  const hash = createHash('sha256');
  try {
    await piped(createReadStream(join(dir, file)), hash);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ArchiveError(`The archive in ${dir} is not whole: ${file} is missing.`, { cause: error });
  }
  if (hash.digest('hex') !== sha256)
    throw new ArchiveError(`${file} in ${dir} is not as it was written: its checksum differs.`);
}

/** Every event from `after` on; throws `ArchiveError` when one is missing, or one too many. */
export async function* readSegment(dir: string, segment: Segment, after = 0): AsyncGenerator<EventRow> {
  const gunzip = createGunzip();
  pipeline(createReadStream(join(dir, segment.file)), gunzip, () => {}); // its error is thrown by the iteration
  let next = segment.from;
  for await (const line of lines(gunzip)) {
    const position = next;
    next += 1;
    // A line's place is its position: what is passed over need not be parsed.
    if (position <= after) continue;
    const row = toRow(line, segment.file);
    if (row.position !== position || position > segment.to)
      throw new ArchiveError(`${segment.file} has position ${row.position} where ${position} should be.`);
    yield row;
  }
  if (next <= segment.to) throw new ArchiveError(`${segment.file} ends before position ${next}.`);
}

/** Readline would also end a line at U+2028, which JSON may hold as it is. */
export async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

type Stored = {
  position: number;
  streamId: string;
  version: number;
  eventId: string;
  type: string;
  schemaVersion: number;
  recordedAt: string;
  data: EventRow['data'];
  metadata: EventRow['metadata'];
};

function toRow(line: string, file: string): EventRow {
  let stored: Stored;
  try {
    stored = JSON.parse(line) as Stored;
  } catch (cause) {
    throw new ArchiveError(`${file} has a line that is not JSON.`, { cause });
  }
  return {
    position: stored.position,
    stream_id: stored.streamId,
    version: stored.version,
    event_id: stored.eventId,
    type: stored.type,
    schema_version: stored.schemaVersion,
    data: stored.data,
    metadata: stored.metadata,
    recorded_at: `${stored.recordedAt.slice(0, 23)}Z`, // to the millisecond, as platform/postgres/pool.ts reads it
  };
}

/** One segment: a run of the log as a file, and its line in the manifest. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { LogLine } from '../postgres/read-lines.ts';
import { draftOf, OWNER_ONLY, publish } from './durable-file.ts';
import type { Segment } from './manifest.ts';

/** `pages`: at least one event, gapless. The file is on disk, under its name, when this has resolved. */
export async function writeSegment(dir: string, pages: AsyncIterable<LogLine[]>): Promise<Segment> {
  const hash = createHash('sha256');
  const schemaVersions = new Map<string, Set<number>>();
  let [events, bytes] = [0, 0];
  let first: LogLine | undefined;
  let last: LogLine | undefined;
  let name = '';

  const take = (page: LogLine[]): string => {
    for (const one of page) {
      const versions = schemaVersions.get(one.type) ?? new Set();
      schemaVersions.set(one.type, versions.add(one.schema_version));
      first ??= one;
      last = one;
      events += 1;
    }
    return page.map(({ line }) => `${line}\n`).join('');
  };
  // The first page tells the name: the next segment from this position, should this one be broken off, takes its place.
  const iterator = pages[Symbol.asyncIterator]();
  const start = await iterator.next();
  if (start.done || !start.value[0]) throw new Error('a segment needs an event');
  name = `events-${String(start.value[0].position).padStart(15, '0')}.ndjson.gz`;
  const path = join(dir, name);

  await pipeline(
    async function* () {
      yield take(start.value);
      for (let page = await iterator.next(); !page.done; page = await iterator.next()) yield take(page.value);
    },
    createGzip(),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(draftOf(path), { flush: true, mode: OWNER_ONLY }),
  );
  await publish(path, dir);
  return {
    file: name,
    from: first!.position,
    to: last!.position,
    events,
    bytes,
    sha256: hash.digest('hex'),
    firstRecordedAt: first!.recorded_at,
    lastRecordedAt: last!.recorded_at,
    lastEventId: last!.event_id,
    schemaVersions: Object.fromEntries(
      [...schemaVersions].sort().map(([type, versions]) => [type, [...versions].sort((a, b) => a - b)]),
    ),
  };
}

/**
 * Moves the beginning of the log into files: writes it, reads it back, raises the floor, and lets the streams go that have
 * ended for good. After a crash at any of these, run again, it goes on from there: files are whole or not there, the floor
 * is raised only over what the manifest names, and every run lets go whatever earlier ones have left.
 */
import type pg from 'pg';
import { ArchiveError } from '../../platform/archive/archive-error.ts';
import { makeDurableFolder } from '../../platform/archive/durable-file.ts';
import { readManifest, type Segment } from '../../platform/archive/manifest.ts';
import { checkOfLog } from '../../platform/archive/open-archive.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { asLogin, mayArchive } from '../../platform/postgres/as-login.ts';
import { readBounds } from '../../platform/postgres/read.ts';
import { checkSchema } from '../../platform/postgres/schema-guard.ts';
import { readServerTime } from '../../platform/postgres/server-clock.ts';
import { postLedger } from '../../projector/ledger/audit.ts';
import { withRebuildPool } from '../../projector/rebuild/rebuild.ts';
import { type Before, eventIdAt, targetOf } from './archive-target.ts';
import { type Left, letStreamsGo } from './let-streams-go.ts';
import { checkAgainstLog, writeSegments } from './write-segments.ts';

export type ArchiveOptions = {
  uri: string;
  before: Before;
  dir: string;
  /** Tell what would be done, and change nothing. */
  dryRun: boolean;
  /** What was recorded so lately stays, whatever is asked for. */
  keepSeconds?: number;
  segmentEvents?: number;
  onProgress?: (progress: { phase: 'writing' | 'leaving'; position: number; target: number }) => void;
};

export type Archived = {
  /** Positions up to here are in the archive, and were before. */
  former: number;
  floor: number;
  /** Written by this run. */
  segments: Segment[];
  left: Left;
};

/**
 * A reply that was lost, a feed that has stalled, a replica that is late: all of it is over by then. Commands and reads are
 * right without this too; it saves clients of slow connections from reading everything anew.
 */
const KEEP_SECONDS = 3_600;

/** Throws `ArchiveError`, and `RebuildBusyError` while a rebuild or another archive runs: they share a lock. */
export const archiveLog = (options: ArchiveOptions): Promise<Archived> =>
  withRebuildPool({ uri: options.uri, max: 4 }, (pool, signal) => run(pool, options, signal));

async function run(pool: pg.Pool, options: ArchiveOptions, signal: AbortSignal): Promise<Archived> {
  const { dir, dryRun, keepSeconds = KEEP_SECONDS, onProgress } = options;
  await checkSchema(pool);
  const bounds = await readBounds(pool);
  const { floor: former } = bounds;
  const target = await targetOf(pool, options.before, bounds, keepSeconds);
  if (!dryRun && !(await mayArchive(pool)))
    throw new ArchiveError('This login may not archive the log: use the one that migrates.');

  const present = await readManifest(dir);
  await checkOfLog(dir, present, bounds);
  await checkAgainstLog(pool, dir, present, bounds);
  const segments: Segment[] = [];
  if (!dryRun && target > (present.at(-1)?.to ?? 0)) {
    await makeDurableFolder(dir);
    for await (const segment of writeSegments({ pool, dir, present, target, signal, ...segmentSize(options) })) {
      segments.push(segment);
      onProgress?.({ phase: 'writing', position: segment.to, target });
    }
  }
  await failPoint('archive.written');

  if (!dryRun && target > former) {
    await postLedger(pool, signal); // a projector does so about once a second, up to where it stands
    const eventId = await eventIdAt(pool, target);
    await asLogin(pool, (client) => client.query('SELECT raise_floor_v1($1, $2)', [target, eventId]));
    await failPoint('archive.floor_raised');
  }
  const left = await letStreamsGo({
    pool,
    floor: target,
    now: new Date((await readServerTime(pool)).atMs).toISOString(),
    signal,
    letGo: dryRun ? null : (streams) => archiveStreams(pool, streams),
    onPage: (position) => onProgress?.({ phase: 'leaving', position, target }),
  });
  return { former, floor: target, segments, left };
}

const segmentSize = ({ segmentEvents }: ArchiveOptions) => (segmentEvents === undefined ? {} : { segmentEvents });

type Stream = { s: string; v: number; t: string };

const archiveStreams = (pool: pg.Pool, streams: Stream[]): Promise<{ streams: number; events: number }> =>
  asLogin(pool, async (client) => {
    // What a crash of the server takes back is let go again by the next run; appends wait for this commit.
    await client.query('SET LOCAL synchronous_commit = off');
    const { rows } = await client.query<{ streams: number; events: number }>(
      'SELECT streams, events FROM archive_streams_v1($1)',
      [JSON.stringify(streams)],
    );
    return rows[0]!;
  });

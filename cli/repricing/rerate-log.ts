/**
 * Reads the log once, in one snapshot that cannot write, and tells what was charged beside what would have been: streams that
 * the table has from there, those that have left it from the archive.
 */
import type pg from 'pg';
import { evolve, type PromptState } from '../../contracts/prompt/state.ts';
import { type LogArchive, openArchive } from '../../platform/archive/open-archive.ts';
import { openClient } from '../../platform/postgres/client.ts';
import { type EventRow, LogGapError, readBounds, toEvent } from '../../platform/postgres/read.ts';
import { readByStream } from '../../platform/postgres/read-by-stream.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { Repricing } from '../../platform/prices/rerate.ts';
import { createTally, type Row } from './tally.ts';

const LEFT = readSql(import.meta.url, 'sql/streams-left.sql');

export type Until = { position: number } | { time: string };

export type RerateOptions = {
  uri: string;
  /** No further than here; the whole log unless given. */
  until?: Until;
  /** Folder of the archive, where the beginning of the log has left it. */
  archiveDir?: string | undefined;
  repricing: Pick<Repricing, 'read'>;
  pageSize?: number;
  onProgress: (progress: { events: number; total: number }) => void;
};

export type Rerated = {
  /** Of the last event that counts, and when it was recorded; null in an empty log. */
  position: number;
  asOf: string | null;
  rows: Row[];
  versions: { priceVersion: string; attempts: number }[];
};

/** Why the log could not be read to its end. */
export class RerateError extends Error {
  readonly code = 'rerate_refused';
}

export async function rerateLog(options: RerateOptions): Promise<Rerated> {
  const connection = await openClient({
    uri: options.uri,
    name: 'replay',
    statementTimeoutMs: 60_000,
    // Pages come from the index: a plan that sorts the log would do so for every page.
    settings: { enable_seqscan: 'off', enable_sort: 'off' },
  });
  const { client } = connection;
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return await readSnapshot(client, options);
  } finally {
    await connection.end();
  }
}

type Both = {
  asCharged: PromptState;
  rerated: PromptState;
  /** Attempts whose cost somebody put right. */
  corrected: ReadonlySet<number>;
};

async function readSnapshot(client: pg.Client, options: RerateOptions): Promise<Rerated> {
  const archive = await archiveOf(client, options);
  try {
    const { position, asOf } = await targetOf(client, archive, options.until);
    const tally = createTally();
    let events = 0;
    let current = null as Both | null;
    for await (const rows of readByStream(client, position, options.pageSize)) {
      for (const row of rows) {
        if (current && row.version === 1) tally.add(current);
        current = step(row.version === 1 ? null : current, row, options);
      }
      events += rows.length;
      options.onProgress({ events, total: position });
    }
    if (current) tally.add(current);
    const underWay = new Map<string, Both>();
    for await (const { rows, last } of readLeft(client, archive, position, options.pageSize)) {
      for (const row of rows) {
        const both = step(underWay.get(row.stream_id) ?? null, row, options);
        underWay.set(row.stream_id, both);
        if (row.version !== last.get(row.stream_id)) continue;
        tally.add(both);
        underWay.delete(row.stream_id); // memory does not grow with the archive
      }
      events += rows.length;
      options.onProgress({ events, total: position });
    }
    for (const both of underWay.values()) tally.add(both);
    if (events !== position)
      throw new LogGapError(`${position - events} of ${position} events are missing from the log`);
    return { position, asOf, rows: tally.rows(), versions: tally.versions() };
  } finally {
    await archive?.close();
  }
}

function step(before: Both | null, row: EventRow, { repricing }: RerateOptions): Both {
  try {
    const event = toEvent(row);
    const corrected = before?.corrected ?? new Set();
    return {
      asCharged: evolve(before?.asCharged ?? null, event),
      rerated: repricing.read(before?.rerated ?? null, event),
      corrected: event.type === 'AttemptCostCorrected' ? new Set([...corrected, event.data.attempt]) : corrected,
    };
  } catch (error) {
    throw new RerateError(`Event ${row.position} of prompt ${row.stream_id}: ${(error as Error).message}`);
  }
}

/** Events of streams that have left the log, up to a position, in its order; `last`: the version each of them ended with. */
async function* readLeft(
  client: pg.Client,
  archive: LogArchive | null,
  upTo: number,
  pageSize = 500,
): AsyncGenerator<{ rows: EventRow[]; last: Map<string, number> }> {
  const end = Math.min(upTo, archive?.floor ?? 0);
  for (let after = 0; archive && after < end; ) {
    const page = await archive.read(after, pageSize, end);
    const ids = [...new Set(page.map((row) => row.stream_id))];
    const left = await client.query<{ streamId: string; version: number }>(LEFT, [ids]);
    const last = new Map(left.rows.map(({ streamId, version }) => [streamId, version]));
    yield { rows: page.filter((row) => last.has(row.stream_id)), last };
    after = page.at(-1)!.position;
  }
}

/** Null: the log is whole. */
async function archiveOf(client: pg.Client, { archiveDir }: RerateOptions): Promise<LogArchive | null> {
  const bounds = await readBounds(client);
  if (bounds.floor === 0) return null;
  if (archiveDir === undefined)
    throw new RerateError(
      `Events up to position ${bounds.floor} are archived: say where, with --archive DIR or ARCHIVE_DIR.`,
    );
  return openArchive(archiveDir, bounds);
}

type Target = { position: number; asOf: string | null };

async function targetOf(client: pg.Client, archive: LogArchive | null, until: Until | undefined): Promise<Target> {
  // The head's word, not the last row's: rows may be missing.
  const { head } = await readBounds(client);
  if (until && 'position' in until) {
    if (until.position > head) throw new RerateError(`The log ends at position ${head}, before ${until.position}.`);
    if (until.position < 1) throw new RerateError('Positions begin at 1.');
  }
  if (until && 'time' in until && Date.parse(until.time) > Date.now())
    throw new RerateError(`${until.time} is yet to come.`);
  const position = until === undefined ? head : 'position' in until ? until.position : await lastUntil(until.time);
  if (archive && position > 0 && position <= archive.floor) {
    const [row] = await archive.read(position - 1, 1, position);
    return { position, asOf: row?.recorded_at ?? null };
  }
  const text = 'SELECT recorded_at FROM event WHERE position <= $1 ORDER BY position DESC LIMIT 1';
  const { rows } = await client.query<{ recorded_at: string }>(text, [position]);
  return { position, asOf: rows[0]?.recorded_at ?? null };

  async function lastUntil(time: string): Promise<number> {
    const text = 'SELECT position_at_v2($1) AS position';
    const { rows } = await client.query<{ position: number | null }>(text, [time]);
    const found = rows[0]?.position ?? (await archive?.positionAt(time));
    if (!found) throw new RerateError(`The log has no event until ${time}.`);
    return found;
  }
}

/** Reads the log once, in one snapshot that cannot write, and tells what was charged beside what would have been. */
import type pg from 'pg';
import { evolve, type PromptState } from '../../contracts/prompt/state.ts';
import { openClient } from '../../platform/postgres/client.ts';
import { LogGapError, toEvent } from '../../platform/postgres/read.ts';
import { readByStream } from '../../platform/postgres/read-by-stream.ts';
import type { Repricing } from '../../platform/prices/rerate.ts';
import { createTally, type Row } from './tally.ts';

export type Until = { position: number } | { time: string };

export type RerateOptions = {
  uri: string;
  /** No further than here; the whole log unless given. */
  until?: Until;
  repricing: Pick<Repricing, 'rerate'>;
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

type Both = { asCharged: PromptState; rerated: PromptState };

async function readSnapshot(client: pg.Client, options: RerateOptions): Promise<Rerated> {
  const { position, floor, asOf } = await targetOf(client, options.until);
  const total = position - floor;
  const tally = createTally();
  let events = 0;
  let current = null as Both | null;
  for await (const rows of readByStream(client, position, options.pageSize)) {
    for (const row of rows) {
      if (current && row.version === 1) tally.add(current.asCharged, current.rerated);
      const before: Both | null = row.version === 1 ? null : current;
      try {
        const event = toEvent(row);
        const rerated = options.repricing.rerate(event, before?.rerated ?? null);
        current = {
          asCharged: evolve(before?.asCharged ?? null, event),
          rerated: evolve(before?.rerated ?? null, rerated),
        };
      } catch (error) {
        throw new RerateError(`Event ${row.position} of prompt ${row.stream_id}: ${(error as Error).message}`);
      }
    }
    events += rows.length;
    options.onProgress({ events, total });
  }
  if (current) tally.add(current.asCharged, current.rerated);
  if (events !== total) throw new LogGapError(`${total - events} of ${total} events are missing from the log`);
  return { position, asOf, rows: tally.rows(), versions: tally.versions() };
}

type Target = { position: number; floor: number; asOf: string | null };

async function targetOf(client: pg.Client, until: Until | undefined): Promise<Target> {
  const head = (await client.query<{ position: number; floor: number }>('SELECT position, floor FROM log_head'))
    .rows[0];
  const { position, floor } = head ?? { position: 0, floor: 0 };
  if (until && 'position' in until && until.position > position)
    throw new RerateError(`The log ends at position ${position}, before ${until.position}.`);
  const [upTo, time] = until && 'position' in until ? [until.position, null] : [position, until?.time ?? null];
  const text = `SELECT position, recorded_at FROM event WHERE position <= $1
    AND ($2::timestamptz IS NULL OR recorded_at <= $2) ORDER BY position DESC LIMIT 1`;
  const { rows } = await client.query<{ position: number; recorded_at: string }>(text, [upTo, time]);
  const last = rows[0];
  if (!last && time !== null) throw new RerateError(`The log has no event until ${time}.`);
  // The head's word, not the last row's: rows may be missing.
  return { position: time === null ? upTo : last!.position, floor, asOf: last?.recorded_at ?? null };
}

/** One step of a projection: read after the cursor, fold, write, move the cursor; all or nothing. */
import type pg from 'pg';
import type { RecordedEvent } from '../contracts/envelope.ts';
import type { PromptState } from '../contracts/prompt/state.ts';
import { type EventRow, readAll, toEvent } from '../platform/postgres/read.ts';
import { readSql } from '../platform/postgres/sql-file.ts';
import { isConnectionLoss, sqlState } from '../platform/postgres/sqlstate.ts';
import { type BatchRows, foldBatch, PoisonEventError } from './projections/prompts/fold-batch.ts';

export const PROMPTS = 'prompts';

const MOVE = readSql(import.meta.url, 'sql/move-cursor.sql');
const PARKED = readSql(import.meta.url, 'sql/parked.sql');
const PARK = readSql(import.meta.url, 'sql/park-stream.sql');
const LOAD = readSql(import.meta.url, 'projections/prompts/sql/load-states.sql');
const DELETE_EMPTY = readSql(import.meta.url, 'projections/prompts/sql/delete-empty.sql');
const WRITE = readSql(import.meta.url, 'projections/prompts/sql/write-batch.sql');

export type ProjectOptions = {
  pool: pg.Pool;
  version: number;
  /** Events in one step. */
  batchSize: number;
  /** Fold nothing beyond this position. */
  upTo?: number;
  /** A rebuild stops on an event it cannot fold; a running projection sets the stream aside. */
  onPoison: 'park' | 'stop';
  onParked?: (error: PoisonEventError) => void;
};

/** `behind`: another runner moved the cursor; nothing was changed here. */
export type Projected = { status: 'moved' | 'idle' | 'behind'; position: number; events: number };

export async function projectBatch(options: ProjectOptions): Promise<Projected> {
  const { pool, version } = options;
  const from = await readCursor(pool, version);
  const rows = withinBytes(await readAll(pool, from, options.batchSize, options.upTo));
  if (rows.length === 0) return { status: 'idle', position: from, events: 0 };
  return project(options, from, rows);
}

/** A few hundred of the largest prompts would fill the memory that thousands of ordinary ones do not. */
const MOST_CHARACTERS = 16_000_000;

function withinBytes(rows: EventRow[]): EventRow[] {
  let size = 0;
  const end = rows.findIndex((row) => {
    const { prompt, answer } = row.data as { prompt?: string; answer?: string };
    size += 500 + (prompt?.length ?? 0) + (answer?.length ?? 0);
    return size > MOST_CHARACTERS;
  });
  return end === -1 ? rows : rows.slice(0, Math.max(1, end));
}

export async function readCursor(pool: pg.Pool, version: number): Promise<number> {
  const text = 'SELECT position FROM cursor WHERE name = $1 AND version = $2 AND lane = 0';
  const { rows } = await pool.query<{ position: number }>({ name: 'cursor', text, values: [PROMPTS, version] });
  const [row] = rows;
  if (!row) throw new Error(`projection ${PROMPTS} has no version ${version}`);
  return row.position;
}

async function project(options: ProjectOptions, from: number, rows: EventRow[]): Promise<Projected> {
  try {
    return await write(options, from, rows, await fold(options, rows));
  } catch (error) {
    if (!isPoison(error)) throw error;
    if (rows.length > 1) return halves(options, from, rows);
    const [row] = rows;
    const poison =
      error instanceof PoisonEventError
        ? error
        : new PoisonEventError({ streamId: row!.stream_id, position: row!.position }, error);
    if (options.onPoison === 'stop') throw poison;
    options.onParked?.(poison);
    return write(options, from, rows, null, poison);
  }
}

/** The event's own fault: it cannot be folded, or its data cannot be stored. Anything else passes, or concerns them all. */
const isPoison = (error: unknown): boolean => error instanceof PoisonEventError || /^2[23]/.test(sqlState(error) ?? '');

/** Something in the batch cannot be folded or written: in halves, down to the one event. */
async function halves(options: ProjectOptions, from: number, rows: EventRow[]): Promise<Projected> {
  const middle = Math.ceil(rows.length / 2);
  const first = await project(options, from, rows.slice(0, middle));
  if (first.status !== 'moved') return first;
  const second = await project(options, first.position, rows.slice(middle));
  return { ...second, events: first.events + second.events };
}

async function fold({ pool, version }: ProjectOptions, rows: EventRow[]): Promise<BatchRows> {
  const streams = [...new Set(rows.map((row) => row.stream_id))];
  // Read before the transaction: it is still true inside, or the cursor has moved and nothing is written.
  const [states, parked] = await Promise.all([
    pool.query<{ state: PromptState }>({
      name: `load-states-${version}`,
      text: forVersion(LOAD, version),
      values: [streams],
    }),
    pool.query<{ stream_id: string }>({ name: 'parked', text: PARKED, values: [PROMPTS, version, streams] }),
  ]);
  const before = new Map(states.rows.map(({ state }) => [state.promptId, state]));
  const aside = new Set(parked.rows.map((row) => row.stream_id));
  return foldBatch(before, rows.filter((row) => !aside.has(row.stream_id)).map(lift));
}

function lift(row: EventRow): RecordedEvent {
  try {
    return toEvent(row);
  } catch (error) {
    throw new PoisonEventError({ streamId: row.stream_id, position: row.position }, error);
  }
}

async function write(
  options: ProjectOptions,
  from: number,
  rows: EventRow[],
  batch: BatchRows | null,
  poison?: PoisonEventError,
): Promise<Projected> {
  const { pool, version } = options;
  const last = rows.at(-1)!;
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    // Read models can be made again from the log: their commit need not wait for the disk. After a crash of the server
    // the cursor stands where the tables stand, a little earlier, and the same events are folded again. Plans made while
    // the tables were empty would scan them for ever: they may not.
    await client.query('BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off');
    const moved = await client.query({
      name: 'move-cursor',
      text: MOVE,
      values: [PROMPTS, version, from, last.position, last.recorded_at],
    });
    if (moved.rowCount === 0) {
      await client.query('ROLLBACK');
      return { status: 'behind', position: from, events: 0 };
    }
    if (poison) await client.query(PARK, [PROMPTS, version, poison.streamId, poison.position, poison.message]);
    if (batch) {
      const { prompts, texts, answers, usage, latencies } = batch;
      const values = [prompts, texts, answers, usage, latencies].map((table) => JSON.stringify(table));
      await client.query({ name: `write-batch-${version}`, text: forVersion(WRITE, version), values });
      if (batch.emptied.length > 0) {
        const keys = [JSON.stringify(batch.emptied)];
        await client.query({ name: `delete-empty-${version}`, text: forVersion(DELETE_EMPTY, version), values: keys });
      }
    }
    await client.query('COMMIT');
    return { status: 'moved', position: last.position, events: rows.length };
  } catch (error) {
    broken = error as Error;
    if (!isConnectionLoss(error)) {
      await client.query('ROLLBACK');
      broken = undefined;
    }
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Tables are named by version; a version is a whole number, never text from outside. */
export function forVersion(sql: string, version: number): string {
  if (!Number.isSafeInteger(version) || version < 1) throw new RangeError(`${version} is not a projection version`);
  return sql.replaceAll(':v:', String(version));
}

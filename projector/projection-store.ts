/** Where a projection keeps its tables and its cursor, as one step of it needs them; and the one of Postgres. */
import type pg from 'pg';
import type { PromptState } from '../contracts/prompt/state.ts';
import { failPoint } from '../platform/fail-points.ts';
import { type EventRow, readAll } from '../platform/postgres/read.ts';
import { readSql } from '../platform/postgres/sql-file.ts';
import { inTransaction } from '../platform/postgres/transaction.ts';
import type { BatchRows, PoisonEventError } from './projections/prompts/fold-batch.ts';

export const PROMPTS = 'prompts';

const MOVE = readSql(import.meta.url, 'sql/move-cursor.sql');
const PARKED = readSql(import.meta.url, 'sql/parked.sql');
const PARK = readSql(import.meta.url, 'sql/park-stream.sql');
const LOAD = readSql(import.meta.url, 'projections/prompts/sql/load-states.sql');
const DELETE_EMPTY = readSql(import.meta.url, 'projections/prompts/sql/delete-empty.sql');
const WRITE = readSql(import.meta.url, 'projections/prompts/sql/write-batch.sql');

/** What one step changes: all of it or nothing, and nothing unless the cursor still stands at `from`. */
export type Step = {
  from: number;
  to: { position: number; recordedAt: string };
  rows: BatchRows | null;
  /** Its stream is set aside. */
  poison: PoisonEventError | null;
};

export type ProjectionStore = {
  cursor: () => Promise<number>;
  /** The log after a position, gapless. */
  read: (after: number, limit: number, upTo?: number) => Promise<EventRow[]>;
  /** The states folded so far, and which of the streams are set aside. */
  load: (streamIds: string[]) => Promise<{ states: PromptState[]; parked: string[] }>;
  /** False: another runner moved the cursor, nothing was written. */
  write: (step: Step) => Promise<boolean>;
};

export function createProjectionStore(pool: pg.Pool, version: number): ProjectionStore {
  return {
    cursor: () => readCursor(pool, version),
    read: (after, limit, upTo) => readAll(pool, after, limit, upTo),
    load: async (streamIds) => {
      const [states, parked] = await Promise.all([
        pool.query<{ state: PromptState }>({
          name: `load-states-${version}`,
          text: forVersion(LOAD, version),
          values: [streamIds],
        }),
        pool.query<{ stream_id: string }>({ name: 'parked', text: PARKED, values: [PROMPTS, version, streamIds] }),
      ]);
      return { states: states.rows.map(({ state }) => state), parked: parked.rows.map((row) => row.stream_id) };
    },
    write: (step) => writeStep(pool, version, step),
  };
}

export async function readCursor(pool: pg.Pool, version: number): Promise<number> {
  const text = 'SELECT position FROM cursor WHERE name = $1 AND version = $2 AND lane = 0';
  const { rows } = await pool.query<{ position: number }>({ name: 'cursor', text, values: [PROMPTS, version] });
  const [row] = rows;
  if (!row) throw new Error(`projection ${PROMPTS} has no version ${version}`);
  return row.position;
}

class CursorMoved extends Error {}

async function writeStep(pool: pg.Pool, version: number, step: Step): Promise<boolean> {
  // Read models can be made again from the log: their commit need not wait for the disk. After a crash of the server
  // the cursor stands where the tables stand, a little earlier, and the same events are folded again. Plans made while
  // the tables were empty would scan them for ever: they may not.
  const begin = 'BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off';
  try {
    await inTransaction(pool, (client) => writeRows(client, version, step), begin);
    return true;
  } catch (error) {
    if (error instanceof CursorMoved) return false;
    throw error;
  }
}

async function writeRows(client: pg.PoolClient, version: number, { from, to, rows, poison }: Step): Promise<void> {
  const moved = await client.query({
    name: 'move-cursor',
    text: MOVE,
    values: [PROMPTS, version, from, to.position, to.recordedAt],
  });
  if (moved.rowCount === 0) throw new CursorMoved();
  if (poison) await client.query(PARK, [PROMPTS, version, poison.streamId, poison.position, poison.message]);
  if (rows) {
    const { prompts, texts, answers, usage, latencies } = rows;
    const values = [...[prompts, texts, answers, usage, latencies].map((table) => JSON.stringify(table)), rows.realUse];
    await client.query({ name: `write-batch-${version}`, text: forVersion(WRITE, version), values });
    if (rows.emptied.length > 0) {
      const keys = [JSON.stringify(rows.emptied)];
      await client.query({ name: `delete-empty-${version}`, text: forVersion(DELETE_EMPTY, version), values: keys });
    }
  }
  await failPoint('projector.written');
}

/** Tables are named by version; a version is a whole number, never text from outside. */
export function forVersion(sql: string, version: number): string {
  if (!Number.isSafeInteger(version) || version < 1) throw new RangeError(`${version} is not a projection version`);
  return sql.replaceAll(':v:', String(version));
}

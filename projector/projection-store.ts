/** Where a projection keeps its tables and its cursor, as one step of it needs them; and the one of Postgres. */
import type pg from 'pg';
import type { RecordedEvent } from '../contracts/envelope.ts';
import type { PromptState } from '../contracts/prompt/state.ts';
import { failPoint } from '../platform/fail-points.ts';
import { type EventRow, LogArchivedError, readAll } from '../platform/postgres/read.ts';
import { readSql } from '../platform/postgres/sql-file.ts';
import { inTransaction } from '../platform/postgres/transaction.ts';
import type { ArchivedEvents } from './archived-events.ts';
import type { PoisonEventError } from './poison-event.ts';
import type { Projection } from './projection.ts';
import type { BatchRows } from './projections/prompts/fold-batch.ts';
import { promptsProjection } from './projections/prompts/projection.ts';

export { forVersion } from './projection.ts';

export const PROMPTS = promptsProjection.name;

const MOVE = readSql(import.meta.url, 'sql/move-cursor.sql');
const PARKED = readSql(import.meta.url, 'sql/parked.sql');
const PARK = readSql(import.meta.url, 'sql/park-stream.sql');

/** What one step changes: all of it or nothing, and nothing unless the cursor still stands at `from`. */
export type Step<Rows = BatchRows> = {
  from: number;
  to: { position: number; recordedAt: string };
  rows: Rows | null;
  /** Streams whose events were passed over because they are set aside; nothing is written unless they still are. */
  aside: string[];
  /** Its stream is set aside. */
  poison: PoisonEventError | null;
};

export type ProjectionStore<State = PromptState, Rows = BatchRows> = {
  cursor: () => Promise<number>;
  /** The log after a position, gapless. */
  read: (after: number, limit: number, upTo?: number) => Promise<EventRow[]>;
  /** What is folded so far, by stream, and which of the streams are set aside. */
  load: (streamIds: string[]) => Promise<{ states: Map<string, State>; parked: string[] }>;
  fold: (before: ReadonlyMap<string, State>, events: RecordedEvent[]) => Rows;
  /** False: another runner moved the cursor, or a stream passed over is not aside any more; nothing was written. */
  write: (step: Step<Rows>) => Promise<boolean>;
};

export const createProjectionStore = (pool: pg.Pool, version: number): ProjectionStore =>
  createStore(pool, promptsProjection, version);

/** `archived`: of the log's beginning; without it a cursor below the floor is refused with `LogArchivedError`. */
export function createStore<State, Rows>(
  pool: pg.Pool,
  projection: Projection<State, Rows>,
  version: number,
  archived: ArchivedEvents | null = null,
): ProjectionStore<State, Rows> {
  let floor = 0;
  return {
    cursor: async () => {
      const cursor = await readPlace(pool, version, projection.name);
      floor = cursor.floor;
      if (cursor.position < floor && !archived) throw new LogArchivedError(cursor.position, floor);
      return cursor.position;
    },
    read: (after, limit, upTo) =>
      archived && after < floor ? archived.read(after, limit, upTo) : readAll(pool, after, limit, upTo),
    load: async (streamIds) => {
      // In this order: a stream replayed between the two is passed over, and the step refused. The other way round its
      // former state would be taken for the present one.
      const parked = await stillParked(pool, projection.name, version, streamIds);
      return { states: await projection.load(pool, version, streamIds), parked };
    },
    fold: projection.fold,
    write: ({ from, to, rows, aside, poison }) =>
      // Read models can be made again from the log: their commit need not wait for the disk. After a crash of the server
      // the cursor stands where the tables stand, a little earlier, and the same events are folded again.
      inStep(pool, 'SET LOCAL synchronous_commit = off', async (client) => {
        const moved = await client.query({
          name: 'move-cursor',
          text: MOVE,
          values: [projection.name, version, from, to.position, to.recordedAt],
        });
        if (moved.rowCount === 0) return false;
        // A statement of its own, after the cursor's row is ours: a replay holds that row, and what it did is seen here.
        if (aside.length > 0) {
          const still = await stillParked(client, projection.name, version, aside);
          if (still.length < aside.length) return false;
        }
        if (poison)
          await client.query(PARK, [projection.name, version, poison.streamId, poison.position, poison.message]);
        if (rows) await projection.write(client, version, rows);
        return true;
      }),
  };
}

async function stillParked(
  db: Pick<pg.Pool | pg.PoolClient, 'query'>,
  name: string,
  version: number,
  streamIds: string[],
): Promise<string[]> {
  const values = [name, version, streamIds];
  const { rows } = await db.query<{ stream_id: string }>({ name: 'parked', text: PARKED, values });
  return rows.map((row) => row.stream_id);
}

export const readCursor = async (pool: pg.Pool, version: number): Promise<number> =>
  (await readPlace(pool, version, PROMPTS)).position;

/** One snapshot: where a version stands, and from where on the table has every event. */
async function readPlace(pool: pg.Pool, version: number, name: string): Promise<{ position: number; floor: number }> {
  const text =
    'SELECT c.position, h.floor FROM cursor c, log_head h WHERE c.name = $1 AND c.version = $2 AND c.lane = 0';
  type Row = { position: number; floor: number };
  const { rows } = await pool.query<Row>({ name: 'cursor', text, values: [name, version] });
  const [row] = rows;
  if (!row) throw new Error(`projection ${name} has no version ${version}`);
  return row;
}

class Unchanged extends Error {}

/** Commits what `work` did when it answers true, else rolls it back. */
export async function inStep(
  pool: pg.Pool,
  settings: string,
  work: (client: pg.PoolClient) => Promise<boolean>,
): Promise<boolean> {
  // Plans made while the tables were empty would scan them for ever: they may not.
  const begin = `BEGIN; SET LOCAL enable_seqscan = off; ${settings}`;
  try {
    await inTransaction(
      pool,
      async (client) => {
        if (!(await work(client))) throw new Unchanged();
        await failPoint('projector.written');
      },
      begin,
    );
    return true;
  } catch (error) {
    if (error instanceof Unchanged) return false;
    throw error;
  }
}

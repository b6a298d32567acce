/** One step of a projection: read after the cursor, fold, write, move the cursor; all or nothing. */
import type { RecordedEvent } from '../contracts/envelope.ts';
import { failPoint } from '../platform/fail-points.ts';
import { type EventRow, toEvent } from '../platform/postgres/read.ts';
import { sqlState } from '../platform/postgres/sqlstate.ts';
import { PoisonEventError } from './poison-event.ts';
import type { ProjectionStore } from './projection-store.ts';

export type ProjectOptions<State, Rows> = {
  store: ProjectionStore<State, Rows>;
  /** Events in one step. */
  batchSize: number;
  /** Fold nothing beyond this position. */
  upTo?: number;
  /** A rebuild stops on an event it cannot fold; a running projection sets the stream aside. */
  onPoison: 'park' | 'stop';
  onParked?: (error: PoisonEventError) => void;
};

/** `behind`: another runner moved the cursor, or a replay was faster; nothing was changed here. */
export type Projected = { status: 'moved' | 'idle' | 'behind'; position: number; events: number };

export async function projectBatch<State, Rows>(options: ProjectOptions<State, Rows>): Promise<Projected> {
  const { store } = options;
  const from = await store.cursor();
  const rows = withinBytes(await store.read(from, options.batchSize, options.upTo));
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

type Folded<Rows> = { rows: Rows | null; aside: string[]; poison: PoisonEventError | null };

async function project<State, Rows>(
  options: ProjectOptions<State, Rows>,
  from: number,
  rows: EventRow[],
): Promise<Projected> {
  try {
    return await write(options, from, rows, await fold(options, rows));
  } catch (error) {
    const isTooMuch = TIMED_OUT.has(sqlState(error) ?? '');
    if (rows.length > 1 && (isTooMuch || isPoison(error))) return halves(options, from, rows);
    if (!isPoison(error)) throw error;
    const [row] = rows;
    const poison =
      error instanceof PoisonEventError
        ? error
        : new PoisonEventError({ streamId: row!.stream_id, position: row!.position }, error);
    if (options.onPoison === 'stop') throw poison;
    options.onParked?.(poison);
    return write(options, from, rows, { rows: null, aside: [], poison });
  }
}

/** A statement or transaction that took too long: half as much takes half as long. */
const TIMED_OUT: ReadonlySet<string> = new Set(['57014', '25P03', '25P04']);

/** The event's own fault: it cannot be folded, or its data cannot be stored. Anything else passes, or concerns them all. */
const isPoison = (error: unknown): boolean => error instanceof PoisonEventError || /^2[23]/.test(sqlState(error) ?? '');

/** Something in the batch cannot be folded or written: in halves, down to the one event. */
async function halves<State, Rows>(
  options: ProjectOptions<State, Rows>,
  from: number,
  rows: EventRow[],
): Promise<Projected> {
  const middle = Math.ceil(rows.length / 2);
  const first = await project(options, from, rows.slice(0, middle));
  if (first.status !== 'moved') return first;
  const second = await project(options, first.position, rows.slice(middle));
  return { ...second, events: first.events + second.events };
}

async function fold<State, Rows>({ store }: ProjectOptions<State, Rows>, rows: EventRow[]): Promise<Folded<Rows>> {
  // Read before the transaction: it is still true inside, or the cursor has moved and nothing is written.
  const { states, parked } = await store.load([...new Set(rows.map((row) => row.stream_id))]);
  const aside = new Set(parked);
  const events = rows.filter((row) => !aside.has(row.stream_id)).map(lift);
  try {
    return { rows: store.fold(states, events), aside: parked, poison: null };
  } catch (error) {
    if (error instanceof PoisonEventError || !events[0]) throw error;
    // A fold is pure: what it throws is the fault of one of these, and halving finds which.
    throw new PoisonEventError(events[0], error);
  }
}

function lift(row: EventRow): RecordedEvent {
  try {
    return toEvent(row);
  } catch (error) {
    throw new PoisonEventError({ streamId: row.stream_id, position: row.position }, error);
  }
}

async function write<State, Rows>(
  { store }: ProjectOptions<State, Rows>,
  from: number,
  rows: EventRow[],
  folded: Folded<Rows>,
): Promise<Projected> {
  const last = rows.at(-1)!;
  const to = { position: last.position, recordedAt: last.recorded_at };
  await failPoint('projector.folded');
  if (!(await store.write({ from, to, ...folded }))) return { status: 'behind', position: from, events: 0 };
  await failPoint('projector.committed');
  return { status: 'moved', position: last.position, events: rows.length };
}

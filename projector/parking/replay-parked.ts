/** Folds what waits in a stream that was set aside, in order, once the fault is mended. */
import type pg from 'pg';
import type { Parked } from '../../platform/postgres/parked.ts';
import type { EventRow } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { PoisonEventError } from '../poison-event.ts';
import { projectBatch } from '../project-batch.ts';
import type { Projection } from '../projection.ts';
import { projections } from '../projections/registry.ts';
import { createWaitingStore, waitsAt } from './waiting-store.ts';

const NOTE_ERROR = readSql(import.meta.url, 'sql/note-error.sql');
const BATCH = 500;

/** Nothing was replayed; the message says why. */
export class ReplayRefusedError extends Error {
  readonly code = 'replay_refused';
}

export type Replayed = {
  /** Folded here; those that somebody else has folded meanwhile are not counted. */
  events: number;
  /** What the stream waits at still; null when it is aside no more. */
  stopped: PoisonEventError | null;
};

/** `known`: the projections of this build; tests bring their own. Throws `ReplayRefusedError`. */
export async function replayParked(
  pool: pg.Pool,
  parked: Pick<Parked, 'projection' | 'version' | 'streamId'>,
  known: ReadonlyMap<string, Projection<unknown, unknown>> = projections,
): Promise<Replayed> {
  const { projection: name, version, streamId } = parked;
  const projection = known.get(name);
  if (!projection) throw new ReplayRefusedError(`This build has no projection ${name}: replay with the one that has.`);
  const waiting = createWaitingStore(pool, projection, parked);
  let [read, events] = [[] as EventRow[], 0];
  const store: typeof waiting = {
    ...waiting,
    read: async (after, limit) => {
      read = await waiting.read(after, limit);
      return read;
    },
    write: async (step) => {
      const written = await waiting.write(step);
      const isOf = ({ position }: EventRow) => position > step.from && position <= step.to.position;
      if (written) events += read.filter(isOf).length;
      return written;
    },
  };
  for (;;) {
    const position = await waitsAt(pool, name, parked);
    if (position === null) return { events, stopped: null };
    try {
      const { status } = await projectBatch({ store, batchSize: BATCH, onPoison: 'stop' });
      if (status === 'idle' && (await waitsAt(pool, name, parked)) === position) {
        throw new ReplayRefusedError(
          `Stream ${streamId} waits at event ${position}, which version ${version} of ${name} has not reached, or the log has not.`,
        );
      }
    } catch (error) {
      if (!(error instanceof PoisonEventError)) throw error;
      await pool.query(NOTE_ERROR, [name, version, streamId, error.position, error.message]);
      return { events, stopped: error };
    }
  }
}

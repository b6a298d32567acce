/** What a projection is: a name, a pure fold, and how the tables of one of its versions are read and written. */
import type pg from 'pg';
import type { RecordedEvent } from '../contracts/envelope.ts';

export type Projection<State, Rows> = {
  /** In `projection_version`, `cursor` and `parked_stream`. */
  name: string;
  /**
   * From what is folded so far, by stream, and the events of a batch to the rows to write. Pure: no clock, no randomness,
   * no I/O. Whatever it throws is the fault of an event, which is then found and set aside.
   */
  fold: (before: ReadonlyMap<string, State>, events: RecordedEvent[]) => Rows;
  /** What is folded so far, of those streams that there are. */
  load: (pool: pg.Pool, version: number, streamIds: string[]) => Promise<Map<string, State>>;
  /** Inside the caller's transaction. */
  write: (client: pg.PoolClient, version: number, rows: Rows) => Promise<void>;
};

/** Tables are named by version; a version is a whole number, never text from outside. */
export function forVersion(sql: string, version: number): string {
  if (!Number.isSafeInteger(version) || version < 1) throw new RangeError(`${version} is not a projection version`);
  return sql.replaceAll(':v:', String(version));
}

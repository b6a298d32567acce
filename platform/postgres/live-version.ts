/** Which version of the read model is served, and reads that outlive a switch to another. */
import type pg from 'pg';
import { readSql } from './sql-file.ts';
import { isUndefinedTable } from './sqlstate.ts';

/** No version is served: the projector has not been set up, or a switch was left half done. */
export class NoLiveModelError extends Error {
  readonly code = 'no_live_model';
}

/**
 * `asOf` is '-infinity' before the first event. `aside` changes when a stream that was set aside is replayed. `upSince`:
 * start of the server, in microseconds since 1970.
 */
export type LiveVersion = { version: number; position: number; asOf: string; aside: number; upSince: number };

const LIVE_MODEL = readSql(import.meta.url, 'sql/live-model.sql');

/** Throws `NoLiveModelError`. */
export async function findLiveVersion(db: Pick<pg.Pool, 'query'>): Promise<LiveVersion> {
  const { rows } = await db.query<{
    version: number;
    position: number;
    as_of: string;
    aside: number;
    up_since: number;
  }>({
    name: 'live-model',
    text: LIVE_MODEL,
  });
  const [row] = rows;
  if (!row) throw new NoLiveModelError('no version of the projection "prompts" is live');
  const { version, position, as_of: asOf, aside, up_since: upSince } = row;
  return { version, position, asOf, aside, upSince };
}

/** Runs a read against the served version; once more when that version was switched and dropped meanwhile. */
export async function readLiveVersion<T>(
  find: () => Promise<{ version: number }>,
  run: (version: number) => Promise<T>,
  known: number | null = null,
): Promise<T> {
  const version = known ?? (await find()).version;
  try {
    return await run(version);
  } catch (error) {
    if (!isUndefinedTable(error)) throw error;
    const switched = await find();
    if (switched.version === version) throw error;
    return run(switched.version);
  }
}

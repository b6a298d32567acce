/** A log as data: read out of one database, written as it was into another whose log is empty. */
import type pg from 'pg';

/** One row of `event`; times as Postgres writes them, to the microsecond. */
export type StoredEvent = {
  position: number;
  stream_id: string;
  version: number;
  event_id: string;
  type: string;
  schema_version: number;
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
  recorded_at: string;
};

const READ = `SELECT position, stream_id, version, event_id, type, schema_version, data, metadata,
  to_char(recorded_at, 'YYYY-MM-DD"T"HH24:MI:SS.USOF') AS recorded_at FROM event ORDER BY position`;

export const readLog = async (pool: pg.Pool): Promise<StoredEvent[]> => (await pool.query<StoredEvent>(READ)).rows;

/** `pool`: of the owner; services may not write the log. */
export async function writeLog(pool: pg.Pool, events: StoredEvent[]): Promise<void> {
  await pool.query(
    `INSERT INTO event (position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
     SELECT * FROM jsonb_to_recordset($1) AS r(position bigint, stream_id uuid, version integer, event_id uuid, type text,
       schema_version smallint, data jsonb, metadata jsonb, recorded_at timestamptz)`,
    [JSON.stringify(events)],
  );
  await pool.query('UPDATE log_head SET (position, recorded_at) = (SELECT max(position), max(recorded_at) FROM event)');
}

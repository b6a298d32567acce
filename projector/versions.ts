/** Which versions of the projection are tailed, and how far the live one is. */
import type pg from 'pg';
import { readHead } from '../platform/postgres/read.ts';
import { PROMPTS } from './projection-store.ts';

/** The live version of a projection and those kept ready; not those made `--until` a position. */
export async function tailedVersions(pool: pg.Pool, projection: string): Promise<number[]> {
  const text = `SELECT version FROM projection_version v JOIN projection p USING (name)
    WHERE name = $1 AND status = 'ready' AND NOT frozen ORDER BY version <> live_version, version`;
  const { rows } = await pool.query<{ version: number }>({ name: 'tailed-versions', text, values: [projection] });
  return rows.map((row) => row.version);
}

/** Where the live version stands, and the log. */
export async function readLag(pool: pg.Pool): Promise<{ position: number; head: number }> {
  const text = 'SELECT position FROM live_projection WHERE name = $1';
  const [{ rows }, head] = await Promise.all([pool.query<{ position: number }>(text, [PROMPTS]), readHead(pool)]);
  return { position: rows[0]?.position ?? 0, head };
}

/** Seconds since the first event after `position` was recorded; 0 when there is none. */
export async function readAgeBehind(pool: pg.Pool, position: number): Promise<number> {
  const text = `SELECT greatest(0, extract(epoch FROM clock_timestamp() - recorded_at))::float8 AS seconds
    FROM event WHERE position = $1`;
  const { rows } = await pool.query<{ seconds: number }>({ name: 'age-behind', text, values: [position + 1] });
  return rows[0]?.seconds ?? 0;
}

/** Versions of the `prompts` projection: begun, taken up again, served, dropped. */
import type pg from 'pg';
import { failPoint } from '../../platform/fail-points.ts';
import { sqlState } from '../../platform/postgres/sqlstate.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { PROMPTS } from '../projection-store.ts';
import { type IndexOptions, makeParts } from './index-parts.ts';
import { RebuildError } from './refused.ts';

export type Version = {
  version: number;
  status: 'building' | 'ready';
  isLive: boolean;
  /** Ends at `target` and is never served. */
  frozen: boolean;
  target: number | null;
  prices: string | null;
  lanes: number;
  verdict: 'equal' | 'different' | null;
  createdAt: string;
  readyAt: string | null;
  /** Up to where it is folded; of a bulk phase, where its slowest lane is. */
  position: number;
};

const LIST = `SELECT v.version, v.status, v.version = p.live_version AS "isLive", v.frozen, v.target, v.prices, v.lanes,
    v.verdict, v.created_at AS "createdAt", v.ready_at AS "readyAt",
    (SELECT min(c.position) FROM cursor c WHERE c.name = v.name AND c.version = v.version
       AND (c.lane > 0) = (v.status = 'building'))::bigint AS position
  FROM projection_version v JOIN projection p USING (name) WHERE name = $1 ORDER BY version`;

/** Oldest first. */
export async function listVersions(db: Pick<pg.Pool | pg.Client, 'query'>): Promise<Version[]> {
  const { rows } = await db.query<Version>(LIST, [PROMPTS]);
  return rows;
}

export type Wanted = { target: number; frozen: boolean; prices: string | null; lanes: number };

/** Its tables, its cursors and its row, at once. */
export async function beginVersion(pool: pg.Pool, wanted: Wanted): Promise<number> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ version: number }>(
      'UPDATE projection SET last_version = last_version + 1 WHERE name = $1 RETURNING last_version AS version',
      [PROMPTS],
    );
    const { version } = rows[0]!;
    await client.query('SELECT create_prompts_tables_v4($1, true)', [version]);
    await client.query(
      `INSERT INTO projection_version (name, version, status, frozen, target, prices, lanes, up_since)
       VALUES ($1, $2, 'building', $3, $4, $5, $6, note_up_v1())`,
      [PROMPTS, version, wanted.frozen, wanted.target, wanted.prices, wanted.lanes],
    );
    await client.query(
      'INSERT INTO cursor (name, version, lane) SELECT $1, $2, lane FROM generate_series(0, $3::integer) AS lane',
      [PROMPTS, version, wanted.lanes],
    );
    return version;
  });
}

/**
 * From lanes to one cursor: the sums are added up, what reads need is made, and the projector goes on from there. After a
 * crash what is done of it stays done.
 */
export async function endBulkPhase(
  pool: pg.Pool,
  { version, target }: { version: number; target: number },
  how: IndexOptions = {},
): Promise<void> {
  const { rows } = await pool.query<{ events: number }>(
    'SELECT sum(events)::bigint AS events FROM cursor WHERE name = $1 AND version = $2 AND lane > 0',
    [PROMPTS, version],
  );
  // Positions are gapless from 1, in the table or in an archive.
  const { events } = rows[0]!;
  if (events !== target) throw new RebuildError(`${events} events were folded, up to position ${target}.`);
  await makeParts(pool, version, how);
  await failPoint('rebuild.indexed');
  await inTransaction(pool, async (client) => {
    await client.query(
      `UPDATE cursor c SET position = $3, as_of =
         (SELECT max(l.as_of) FROM cursor l WHERE l.name = $1 AND l.version = $2 AND l.lane > 0)
        WHERE c.name = $1 AND c.version = $2 AND c.lane = 0`,
      [PROMPTS, version, target],
    );
    await client.query('DELETE FROM cursor WHERE name = $1 AND version = $2 AND lane > 0', [PROMPTS, version]);
    await client.query('SELECT drop_prompts_deltas_v1($1)', [version]);
    await client.query(
      `UPDATE projection_version SET status = 'ready', ready_at = clock_timestamp() WHERE name = $1 AND version = $2`,
      [PROMPTS, version],
    );
  });
}

/** What lanes write down for its end is not logged: false when it was lost with the server. */
export async function hasDeltas(pool: pg.Pool, version: number): Promise<boolean> {
  const { rows } = await pool.query<{ has: boolean }>('SELECT has_prompts_deltas_v1($1) AS has', [version]);
  return rows[0]!.has;
}

type Outcome = 'switched' | 'live' | 'unknown' | 'building' | 'frozen' | 'behind';
const SWITCH = 'SELECT switch_projection_v1($1, $2) AS outcome';
const VERDICT = 'UPDATE projection_version SET verdict = $3 WHERE name = $1 AND version = $2';

/**
 * False: its cursor is behind the one that is served. Throws `RebuildError` when it may not be served at all. `verdict`: what
 * a comparison has found, which is on record once it is served: until then it is a rebuild's to be taken up.
 */
export async function serveVersion(pool: pg.Pool, version: number, verdict?: 'equal' | 'different'): Promise<boolean> {
  const outcome = await inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ outcome: Outcome }>(SWITCH, [PROMPTS, version]);
    const { outcome } = rows[0]!;
    if (verdict && outcome === 'switched') await client.query(VERDICT, [PROMPTS, version, verdict]);
    return outcome;
  });
  if (outcome === 'switched' || outcome === 'live') return true;
  if (outcome === 'behind') return false;
  const why = {
    unknown: `There is no version ${version} of ${PROMPTS}.`,
    building: `Version ${version} of ${PROMPTS} is not whole yet: run "npm run replay" to take it up again.`,
    frozen: `Version ${version} of ${PROMPTS} ends at a position or has other prices: it is never served.`,
  };
  throw new RebuildError(why[outcome]);
}

/** Throws `RebuildError` when there is none, or it is the one that is served. */
export async function dropVersion(pool: pg.Pool, version: number): Promise<void> {
  try {
    const { rows } = await pool.query<{ dropped: boolean }>('SELECT drop_projection_version_v2($1, $2) AS dropped', [
      PROMPTS,
      version,
    ]);
    if (!rows[0]?.dropped) throw new RebuildError(`There is no version ${version} of ${PROMPTS}.`);
  } catch (error) {
    if (sqlState(error) === '23503') throw new RebuildError(`Version ${version} of ${PROMPTS} is served: it stays.`);
    throw error;
  }
}

/** The way back is one step long: `former` stays beside what is served, and what could be served before them goes. */
export async function dropSuperseded(pool: pg.Pool, former: number): Promise<void> {
  for (const { version, status, frozen, isLive } of await listVersions(pool))
    if (status === 'ready' && !frozen && !isLive && version !== former) await dropVersion(pool, version);
}

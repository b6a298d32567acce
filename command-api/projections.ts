/** What an admin asks of read models. A rebuild is a row that a projector finds; versions are switched and dropped at once. */
import { setTimeout } from 'node:timers/promises';
import type pg from 'pg';
import { readSql } from '../platform/postgres/sql-file.ts';
import { sqlState } from '../platform/postgres/sqlstate.ts';

const REQUEST = readSql(import.meta.url, 'sql/request-rebuild.sql');
const CANCEL = readSql(import.meta.url, 'sql/cancel-rebuild.sql');
const SERVE = readSql(import.meta.url, 'sql/serve-version.sql');
const DROP = readSql(import.meta.url, 'sql/drop-version.sql');
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

type Db = Pick<pg.Pool, 'query'>;

export type RebuildRequest = {
  id: string;
  projection: string;
  requestedBy: string;
  dryRun: boolean;
  /** Serve the new version also if it is not equal to the former one. */
  acceptDifferences: boolean;
};
export type Requested = { status: 'requested'; requestedAt: string } | { status: 'unknown' | 'open' };

/** `open`: one that was asked for before has not ended. */
export async function requestRebuild(
  db: Db,
  { id, projection, requestedBy, dryRun, acceptDifferences }: RebuildRequest,
): Promise<Requested> {
  try {
    const asked = [id, projection, requestedBy, dryRun, acceptDifferences];
    const { rows } = await db.query<{ requestedAt: string }>(REQUEST, asked);
    const [row] = rows;
    return row ? { status: 'requested', requestedAt: row.requestedAt } : { status: 'unknown' };
  } catch (error) {
    if (isOpenAlready(error)) return { status: 'open' };
    throw error;
  }
}

const isOpenAlready = (error: unknown): boolean =>
  sqlState(error) === UNIQUE_VIOLATION && (error as { constraint?: string }).constraint === 'rebuild_open_idx';

/** How it has ended; `open` while whoever does it has not broken off; null when there is none. */
export async function cancelRebuild(
  db: Db,
  { id, projection, cancelledBy }: { id: string; projection: string; cancelledBy: string },
): Promise<string | null> {
  const { rows } = await db.query<{ outcome: string | null }>(CANCEL, [projection, id, cancelledBy]);
  const [row] = rows;
  return row ? (row.outcome ?? 'open') : null;
}

export type ServeOutcome = 'switched' | 'live' | 'unknown' | 'building' | 'frozen' | 'behind' | 'rebuilding';

export async function serveVersion(db: Db, projection: string, version: number): Promise<ServeOutcome> {
  return unlessHeldBriefly(async () => {
    const { rows } = await db.query<{ outcome: ServeOutcome }>(SERVE, [projection, version]);
    return rows[0]!.outcome;
  });
}

export type DropOutcome = 'dropped' | 'unknown' | 'served' | 'rebuilding';

export async function dropVersion(db: Db, projection: string, version: number): Promise<DropOutcome> {
  try {
    return await unlessHeldBriefly(async () => {
      const { rows } = await db.query<{ outcome: DropOutcome }>(DROP, [projection, version]);
      return rows[0]!.outcome;
    });
  } catch (error) {
    if (sqlState(error) === FOREIGN_KEY_VIOLATION) return 'served';
    throw error;
  }
}

const TRIES = 6;
const TRY_EVERY_MS = 50;

/** A rebuild whose end is on record holds its lock for a moment longer, and so does a request like this one. */
async function unlessHeldBriefly<T>(ask: () => Promise<T | 'rebuilding'>): Promise<T | 'rebuilding'> {
  let outcome = await ask();
  for (let tries = 1; outcome === 'rebuilding' && tries < TRIES; tries += 1) {
    await setTimeout(TRY_EVERY_MS);
    outcome = await ask();
  }
  return outcome;
}

import type pg from 'pg';
import { SCHEMA_VERSION } from '../../contracts/schema-version.ts';
import { sqlState } from './sqlstate.ts';

/** The database's schema is not the one this build was made for; the message says what to do. */
export class SchemaMismatchError extends Error {
  readonly code = 'schema_mismatch';
}

/**
 * `postgres-migrations` passes silently over a newer schema, so every service looks for itself before it serves. A newer
 * one is taken when its migrations say that this build may run on it: during an upgrade both releases do.
 */
export async function checkSchema(db: Pick<pg.Pool, 'query'>): Promise<void> {
  const found = await appliedVersion(db);
  if (found === SCHEMA_VERSION) return;
  if (found < SCHEMA_VERSION) {
    throw new SchemaMismatchError(
      `The database has schema ${found === 0 ? 'none' : `version ${found}`}, this build needs version ${SCHEMA_VERSION}: run "npm run migrate" first.`,
    );
  }
  const { rows } = await db.query<{ oldest: number }>('SELECT oldest_build AS oldest FROM schema_support');
  const oldest = rows[0]?.oldest ?? found;
  if (oldest <= SCHEMA_VERSION) return;
  throw new SchemaMismatchError(
    `The database has schema version ${found}, which takes builds made for version ${oldest} or later, this one was made for ${SCHEMA_VERSION}: start the newer release, an older one would misread it.`,
  );
}

async function appliedVersion(db: Pick<pg.Pool, 'query'>): Promise<number> {
  try {
    const { rows } = await db.query<{ version: number | null }>('SELECT max(id)::integer AS version FROM migrations');
    return rows[0]?.version ?? 0;
  } catch (error) {
    const UNDEFINED_TABLE = '42P01';
    const NO_SUCH_ROLE = '22023';
    if (sqlState(error) === UNDEFINED_TABLE || sqlState(error) === NO_SUCH_ROLE) return 0;
    throw error;
  }
}

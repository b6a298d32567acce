import type pg from 'pg';
import { SCHEMA_VERSION } from '../../contracts/schema-version.ts';
import { sqlState } from './sqlstate.ts';

/** The database's schema is not the one this build was made for; the message says what to do. */
export class SchemaMismatchError extends Error {
  readonly code = 'schema_mismatch';
}

/** `postgres-migrations` passes silently over a newer schema, so every service looks for itself before it serves. */
export async function checkSchema(db: Pick<pg.Pool, 'query'>): Promise<void> {
  const found = await appliedVersion(db);
  if (found === SCHEMA_VERSION) return;
  if (found < SCHEMA_VERSION) {
    throw new SchemaMismatchError(
      `The database has schema ${found === 0 ? 'none' : `version ${found}`}, this build needs version ${SCHEMA_VERSION}: run "npm run migrate" first.`,
    );
  }
  throw new SchemaMismatchError(
    `The database has schema version ${found}, this build knows only up to ${SCHEMA_VERSION}: start the newer release, an older one would misread it.`,
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

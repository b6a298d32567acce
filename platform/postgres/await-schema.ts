/** What a process does until Postgres is there: it may come up later than we do. */
import type pg from 'pg';
import { LoginRefusedError, refusalOf } from './refused-login.ts';
import { checkSchema, SchemaMismatchError } from './schema-guard.ts';

const TRIES = 60;

/**
 * Resolves when Postgres has a schema that fits; gives up after a minute. A login that it refuses and a schema that does not
 * fit are not waited for: throws `LoginRefusedError` or `SchemaMismatchError`, whose messages say what to do.
 */
export async function awaitSchema(
  pool: Pick<pg.Pool, 'query'>,
  onWaiting: (error: unknown) => void,
  pauseMs = 1_000,
): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await checkSchema(pool);
      return;
    } catch (error) {
      const refusal = refusalOf('POSTGRES_URI', error);
      if (refusal) throw new LoginRefusedError(refusal);
      if (error instanceof SchemaMismatchError || tries >= TRIES) throw error;
      if (tries % 10 === 0) onWaiting(error);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

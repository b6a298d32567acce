import type pg from 'pg';
import { readSecret } from '../../platform/postgres/secret.ts';
import { openSpool, type Spool } from './spool.ts';
import { spoolKey } from './spool-file.ts';

/** The spool in `dir`, sealed with a key of this database; null without a folder, which is told. */
export async function connectSpool(
  dir: string | null,
  pool: pg.Pool,
  logger: Parameters<typeof openSpool>[0]['logger'] & { warn: (o: object, m: string) => void },
): Promise<Spool | null> {
  if (!dir) {
    logger.warn({}, 'worker: no SPOOL_DIR: an answer that arrives while Postgres is away is lost if this process ends');
    return null;
  }
  return openSpool({ dir, key: spoolKey(await readSecret(pool)), logger });
}

/** The admin key of the embedded stack, in a file that only its user can read. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { createKey, createKeyVerifier } from '../../platform/postgres/api-keys.ts';

/** Path of the file; a new key is made when there is none, or when the database does not know it. */
export async function ensureKeyFile(dataDir: string, pool: pg.Pool): Promise<string> {
  const file = join(dataDir, 'api-key');
  if (existsSync(file)) {
    const holder = await createKeyVerifier(pool)(readFileSync(file, 'utf8').trim());
    if (holder?.role === 'admin') return file;
  }
  const { key } = await createKey(pool, { userId: 'admin', role: 'admin', name: 'embedded stack', expiresAt: null });
  writeFileSync(file, `${key}\n`, { mode: 0o600 });
  return file;
}

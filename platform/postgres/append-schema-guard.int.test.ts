/** A build and a database that do not fit: the service says so in one sentence, and does not serve. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { SCHEMA_VERSION } from '../../contracts/schema-version.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { connectService } from '../boot.ts';
import { loadConfig } from '../config/load.ts';
import { createLifecycle } from '../lifecycle.ts';
import { createLogger } from '../telemetry/logging.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { applyMigrations } from './migrate.ts';
import { createPool } from './pool.ts';
import { checkSchema } from './schema-guard.ts';

const MIGRATIONS = join(import.meta.dirname, '../../migrations');
const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'guarded', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

const BREAKING = {
  code: 'schema_mismatch',
  message: `The database has schema version ${SCHEMA_VERSION + 1}, which takes builds made for version ${SCHEMA_VERSION + 1} or later, this one was made for ${SCHEMA_VERSION}: start the newer release, an older one would misread it.`,
};
const older = (found: string) => ({
  code: 'schema_mismatch',
  message: `The database has schema ${found}, this build needs version ${SCHEMA_VERSION}: run "npm run migrate" first.`,
});

/** Runs with `change` made to the table of migrations, and takes it back. */
async function withMigrations(change: string, run: () => Promise<void>): Promise<void> {
  await database.pool.query('CREATE TABLE kept AS SELECT * FROM migrations');
  await database.pool.query('CREATE TABLE kept_support AS SELECT * FROM schema_support');
  await database.pool.query(change);
  try {
    await run();
  } finally {
    await database.pool.query('DELETE FROM migrations; INSERT INTO migrations SELECT * FROM kept; DROP TABLE kept');
    await database.pool.query('UPDATE schema_support s SET oldest_build = k.oldest_build FROM kept_support k');
    await database.pool.query('DROP TABLE kept_support');
  }
}
const ADD = `INSERT INTO migrations SELECT id + 1, 'later', 'later', now() FROM migrations WHERE id = ${SCHEMA_VERSION}`;
const ADD_BREAKING = `${ADD}; UPDATE schema_support SET oldest_build = ${SCHEMA_VERSION + 1}`;
const REMOVE = `DELETE FROM migrations WHERE id = ${SCHEMA_VERSION}`;

describe('the schema guard', () => {
  test('knows the number of the newest migration', () => {
    const numbers = readdirSync(MIGRATIONS).flatMap((name) => /^(\d+)_.*\.sql$/.exec(name)?.[1] ?? []);
    assert.equal(Math.max(...numbers.map(Number)), SCHEMA_VERSION);
  });

  test('lets the schema pass that this build was made for', async () => {
    await checkSchema(pool);
  });

  test('lets a newer one pass that says so: two releases run side by side during an upgrade', async () => {
    await withMigrations(ADD, () => checkSchema(pool));
  });

  test('refuses a newer one that breaks with this build, which migrating passes over in silence', async () => {
    await withMigrations(ADD_BREAKING, async () => {
      assert.deepEqual(await applyMigrations(database.uri, MIGRATIONS), []);
      await assert.rejects(checkSchema(pool), BREAKING);
    });
  });

  test('is not led astray by an index whose build was broken off: it is dropped and built anew', async () => {
    const index = 'ledger_entry_state_idx';
    const upToIt = mkdtempSync(join(tmpdir(), 'orchestrator-migrations-'));
    t.after(async () => rmSync(upToIt, { recursive: true }));
    for (const name of readdirSync(MIGRATIONS))
      if (Number.parseInt(name, 10) <= 16) cpSync(join(MIGRATIONS, name), join(upToIt, name));
    const indexes = async () =>
      (
        await database.pool.query<{ name: string; valid: boolean }>(
          `SELECT indexrelid::regclass::text AS name, indisvalid AS valid FROM pg_index
            WHERE indrelid = 'ledger_entry'::regclass ORDER BY 1`,
        )
      ).rows;
    const whole = await indexes();
    assert.ok(whole.some(({ name, valid }) => name === index && valid));
    await database.pool.query(`DROP INDEX ${index}`);
    await database.pool.query(`INSERT INTO ledger_entry (prompt_id, attempt, user_id, model, answered, emulated, corrected,
      reserved_position, reserved_at) SELECT gen_random_uuid(), 1, 'ada', 'm', false, false, false, n, now()
      FROM generate_series(1, 2) n`);
    // Two users of one name: a unique index cannot be built, and stays as one that is not valid.
    await assert.rejects(database.pool.query(`CREATE UNIQUE INDEX CONCURRENTLY ${index} ON ledger_entry (user_id)`), {
      code: '23505',
    });
    assert.ok((await indexes()).some(({ name, valid }) => name === index && !valid));
    await withMigrations('DELETE FROM migrations WHERE id >= 16', async () => {
      const applied = await Promise.all([1, 2].map(() => applyMigrations(database.uri, upToIt)));
      assert.deepEqual(applied.flat(), ['16_ledger_state_idx.sql'], 'by one of two at once');
    });
    assert.deepEqual(await indexes(), whole);
    await database.pool.query('TRUNCATE ledger_entry');
  });

  test('refuses an older one, and tells what to run', async () => {
    await withMigrations(REMOVE, () => assert.rejects(checkSchema(pool), older(`version ${SCHEMA_VERSION - 1}`)));
  });

  test('refuses a database that was never migrated', async () => {
    await withMigrations('DELETE FROM migrations', () => assert.rejects(checkSchema(pool), older('none')));
    await database.pool.query('ALTER TABLE migrations RENAME TO elsewhere');
    try {
      await assert.rejects(checkSchema(pool), older('none'));
    } finally {
      await database.pool.query('ALTER TABLE elsewhere RENAME TO migrations');
    }
  });

  test('does not take a fault of another kind for a missing schema', async () => {
    const fault = Object.assign(new Error('permission denied'), { code: '42501' });
    await assert.rejects(checkSchema({ query: () => Promise.reject(fault) } as unknown as pg.Pool), fault);
  });

  test('keeps a service from starting, at once', async () => {
    const config = loadConfig('embedded', { PORT: '0', LOG_LEVEL: 'silent' });
    const logger = createLogger({ service: 'test', level: 'silent' });
    const lifecycle = createLifecycle({ graceSeconds: 5, logger });
    const metrics = createMetrics('test');
    // Nothing listens there: it must not come so far.
    const redisUri = 'redis://127.0.0.1:1';
    try {
      await withMigrations(ADD_BREAKING, async () => {
        const start = connectService({
          service: 'embedded',
          config,
          postgresUri: database.uri,
          redisUri,
          logger,
          lifecycle,
          metrics,
        });
        await assert.rejects(start, BREAKING);
      });
    } finally {
      await lifecycle.stop();
    }
  });
});

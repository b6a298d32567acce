/** Builds a new version of the read models beside the live one, compares both, and switches; readers notice nothing. */
import type pg from 'pg';
import { failPoint } from '../platform/fail-points.ts';
import { openClient } from '../platform/postgres/client.ts';
import { createPool } from '../platform/postgres/pool.ts';
import { readHead } from '../platform/postgres/read.ts';
import { readSql } from '../platform/postgres/sql-file.ts';
import { projectBatch } from './project-batch.ts';
import { createProjectionStore, forVersion, PROMPTS } from './projection-store.ts';

const CHECKSUMS = readSql(import.meta.url, 'sql/checksums.sql');
const LOCK = 7303;
/** Checksums read whole tables of both versions. */
const ADMIN_TIMEOUT_MS = 30 * 60_000;
type Admin = Pick<pg.Client, 'query'>;
const TABLES = ['prompt', 'prompt_text', 'usage', 'usage_total', 'latency'];

/** Why nothing was rebuilt, or nothing switched; the live version is as it was. */
export class RebuildError extends Error {
  readonly code = 'rebuild_refused';
}

export type RebuildOptions = {
  /** Login that owns the tables: the services' role makes none. */
  uri: string;
  /** Fold only up to here: the version is kept apart and never switched live. */
  until?: { position: number } | { time: string };
  /** Compare and report, then drop the new version. */
  dryRun: boolean;
  onProgress: (progress: { position: number; target: number; eventsPerSecond: number }) => void;
};

export type Rebuilt = {
  version: number;
  position: number;
  outcome: 'switched' | 'kept' | 'dropped';
  equal: boolean | null;
};

export async function rebuild(options: RebuildOptions): Promise<Rebuilt> {
  const admin = await openClient({ uri: options.uri, name: 'replay', statementTimeoutMs: ADMIN_TIMEOUT_MS });
  const pool = createPool({
    uri: options.uri,
    name: 'replay',
    max: 4,
    statementTimeoutMs: 120_000,
    transactionTimeoutMs: 130_000,
    onError: () => {}, // of idle connections; a statement that needs one rejects by itself
  });
  try {
    const { rows } = await admin.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [LOCK]);
    if (!rows[0]?.locked) throw new RebuildError('Another rebuild is running: let it end, or stop it.');
    return await run(admin, pool, options);
  } finally {
    await pool.end();
    await admin.end();
  }
}

async function run(admin: Admin, pool: pg.Pool, options: RebuildOptions): Promise<Rebuilt> {
  const live = await liveVersion(admin);
  await dropUnused(admin, live);
  const version = live + 1;
  const frozen = options.until !== undefined;
  await admin.query('SELECT create_prompts_tables($1)', [version]);
  await admin.query(`INSERT INTO projection_version (name, version, status, frozen) VALUES ($1, $2, 'building', $3)`, [
    PROMPTS,
    version,
    frozen,
  ]);
  await admin.query('INSERT INTO cursor (name, version) VALUES ($1, $2)', [PROMPTS, version]);
  const upTo = await targetOf(admin, options.until);
  const position = await foldTo(pool, version, upTo, options);
  if (frozen) {
    if (options.dryRun) await dropVersion(admin, version);
    return { version, position, outcome: options.dryRun ? 'dropped' : 'kept', equal: null };
  }
  const equal = await compareAndSwitch(admin, pool, live, version, options.dryRun);
  if (options.dryRun || !equal) await dropVersion(admin, version);
  return {
    version,
    position: equal ? await readHead(pool) : position,
    outcome: options.dryRun || !equal ? 'dropped' : 'switched',
    equal,
  };
}

async function foldTo(pool: pg.Pool, version: number, upTo: number | null, options: RebuildOptions): Promise<number> {
  const startedAt = performance.now();
  const store = createProjectionStore(pool, version);
  for (;;) {
    const target = upTo ?? (await readHead(pool));
    const result = await projectBatch({
      store,
      batchSize: 2_000,
      onPoison: 'stop',
      ...(upTo !== null && { upTo }),
    });
    const seconds = (performance.now() - startedAt) / 1000;
    options.onProgress({ position: result.position, target, eventsPerSecond: Math.round(result.position / seconds) });
    if (result.status === 'idle' || result.position >= target) return result.position;
  }
}

/**
 * At one position, or there is nothing to compare: the live cursor's row is locked, so the projector waits for these few
 * milliseconds while the new version is brought to the same event.
 */
async function compareAndSwitch(
  admin: Admin,
  pool: pg.Pool,
  live: number,
  version: number,
  dryRun: boolean,
): Promise<boolean> {
  await admin.query('BEGIN');
  try {
    const { rows } = await admin.query<{ position: number }>(
      'SELECT position FROM cursor WHERE name = $1 AND version = $2 AND lane = 0 FOR UPDATE',
      [PROMPTS, live],
    );
    const at = rows[0]?.position ?? 0;
    const store = createProjectionStore(pool, version);
    while ((await store.cursor()) < at) {
      await projectBatch({ store, batchSize: 2_000, upTo: at, onPoison: 'stop' });
    }
    if ((await store.cursor()) > at) {
      throw new RebuildError('The live version is behind the new one: is the projector running?');
    }
    await failPoint('rebuild.folded');
    const equal = (await checksums(admin, live)) === (await checksums(admin, version));
    if (equal && !dryRun) {
      const set = `UPDATE projection_version SET status = $3 WHERE name = $1 AND version = $2`;
      await admin.query(set, [PROMPTS, live, 'retired']);
      await admin.query(set, [PROMPTS, version, 'live']);
    }
    await failPoint('rebuild.switched');
    await admin.query('COMMIT');
    return equal;
  } catch (error) {
    await admin.query('ROLLBACK');
    throw error;
  }
}

async function checksums(admin: Admin, version: number): Promise<string> {
  const { rows } = await admin.query<{ checksum: string }>(forVersion(CHECKSUMS, version));
  return rows.map((row) => row.checksum).join(' ');
}

async function liveVersion(admin: Admin): Promise<number> {
  const { rows } = await admin.query<{ version: number }>(
    `SELECT version FROM projection_version WHERE name = $1 AND status = 'live'`,
    [PROMPTS],
  );
  if (!rows[0]) throw new RebuildError(`The projection ${PROMPTS} has no live version: run "npm run migrate" first.`);
  return rows[0].version;
}

/** What a rebuild that died left behind, and versions retired by an earlier one. */
async function dropUnused(admin: Admin, live: number): Promise<void> {
  const { rows } = await admin.query<{ version: number }>(
    'SELECT version FROM projection_version WHERE name = $1 AND version <> $2',
    [PROMPTS, live],
  );
  for (const { version } of rows) await dropVersion(admin, version);
}

async function dropVersion(admin: Admin, version: number): Promise<void> {
  await admin.query(`DROP TABLE IF EXISTS ${TABLES.map((table) => forVersion(`${table}_v:v:`, version)).join(', ')}`);
  for (const table of ['cursor', 'parked_stream', 'projection_version']) {
    await admin.query(`DELETE FROM ${table} WHERE name = $1 AND version = $2`, [PROMPTS, version]);
  }
}

async function targetOf(admin: Admin, until: RebuildOptions['until']): Promise<number | null> {
  if (!until) return null;
  const head = (await admin.query<{ position: number }>('SELECT position FROM log_head')).rows[0]?.position ?? 0;
  if ('position' in until) {
    if (until.position > head) throw new RebuildError(`The log ends at position ${head}, before ${until.position}.`);
    return until.position;
  }
  const { rows } = await admin.query<{ position: number | null }>(
    'SELECT max(position) AS position FROM event WHERE recorded_at <= $1',
    [until.time],
  );
  if (!rows[0]?.position) throw new RebuildError(`The log has no event until ${until.time}.`);
  return rows[0].position;
}

/** The server crashes under a rebuild: what its lanes had written down is gone, and it is begun anew. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import pg from 'pg';
import { type RunningServer, startPostgres } from '../../deployment/local/servers/postgres.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { projectBatch } from '../../projector/project-batch.ts';
import { createProjectionStore } from '../../projector/projection-store.ts';
import { rebuild } from '../../projector/rebuild/rebuild.ts';
import { cleanup } from '../kit/cleanup.ts';
import { randomLog, writeLog } from '../kit/random-log.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
const END = Date.parse('2026-06-01T00:00:00Z');
let server: RunningServer;
let pool: pg.Pool;

before(async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-crash-'));
  t.after(async () => rmSync(dataDir, { recursive: true, force: true }));
  server = await startPostgres({ dataDir, settings: { fsync: 'off' } });
  t.after(server.stop);
  await applyMigrations(server.uri, join(import.meta.dirname, '../../migrations'));
  pool = createPool({ uri: server.uri, name: 'crash-test', max: 2, onError: () => {} });
  t.after(() => pool.end());
  const owner = new pg.Pool({ connectionString: server.uri, options: '-c timezone=UTC' });
  const log = randomLog({ seed: 5, prompts: 200, users: 10, from: END - 5 * 86_400_000, to: END });
  await writeLog({ uri: server.uri, pool: owner }, log);
  await owner.end();
  const store = createProjectionStore(pool, 1);
  while ((await projectBatch({ store, batchSize: 500, onPoison: 'stop' })).status !== 'idle');
});
afterEach(() => armFailPoints(() => {}));

/** One backend is killed: the server drops all others, and empties what is not logged. */
async function crash(): Promise<void> {
  const victim = new pg.Client({ connectionString: server.uri });
  victim.on('error', () => {}); // it is killed
  await victim.connect();
  const gone = new Promise((resolve) => victim.once('end', resolve));
  const { rows } = await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  process.kill(rows[0]!.pid, 'SIGKILL');
  await gone;
  await until('the server serves again', async () => {
    const client = new pg.Client({ connectionString: server.uri });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query('SELECT 1')).rowCount === 1;
    } catch {
      return false; // it recovers
    } finally {
      await client.end().catch(() => {});
    }
  });
}

const replay = () => rebuild({ uri: server.uri, dryRun: false, lanes: 2, batchSize: 100, onProgress: () => {} });
const built = async () =>
  (await pool.query<{ version: number }>(`SELECT version FROM projection_version WHERE status = 'building'`)).rows;

for (const [what, point, nth] of [
  ['between two pages', 'rebuild.page_folded', 3],
  ['when all is added up, and not whole yet', 'rebuild.indexed', 1],
] as const) {
  test(`${what}: no sum is lost`, async () => {
    let reached = 0;
    armFailPoints(async (name) => {
      if (name === point) reached += 1;
      if (name === point && reached === nth) await crash();
    });
    await assert.rejects(replay());
    armFailPoints(() => {});
    const [left] = await until('the database answers', () => built().catch(() => null));
    const { version, outcome, differing } = await replay();
    assert.deepEqual([outcome, differing], ['switched', []]);
    assert.ok(version > left!.version, 'another one was begun');
    assert.deepEqual(await built(), []);
  });
}

test('a bulk phase does not end without what was written down', async () => {
  let reached = 0;
  armFailPoints((name) => {
    if (name === 'rebuild.page_folded') reached += 1;
    if (reached === 2) throw new Error('broken off');
  });
  await assert.rejects(replay(), /broken off/);
  armFailPoints(() => {});
  const [left] = await built();
  await crash();
  for (const part of ['merge_prompts_usage_v3', 'merge_prompts_models_v1'])
    await assert.rejects(
      until('the database answers', () => pool.query(`SELECT ${part}($1)`, [left!.version]).catch(hasCode('XX001'))),
      { code: 'XX001' },
    );
});

/** Anything but that is a connection that is gone: null, to be asked again. */
const hasCode = (code: string) => (error: { code?: string }) => {
  if (error.code === code) throw error;
  return null;
};

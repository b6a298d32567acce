/** Sums at every level of a log of weeks: the same from batches of any size, from a rebuild, and from the former layout. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import type { RecordedEvent } from '../contracts/envelope.ts';
import { binOfCode, measureOf } from '../contracts/prompt/histogram.ts';
import { applyMigrations } from '../platform/postgres/migrate.ts';
import { createPool } from '../platform/postgres/pool.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../testing/kit/database.ts';
import { randomLog, writeLog } from '../testing/kit/random-log.ts';
import { auditLedger } from './ledger/audit.ts';
import { projectBatch } from './project-batch.ts';
import { createProjectionStore } from './projection-store.ts';
import { foldBatch } from './projections/prompts/fold-batch.ts';
import { rebuild } from './rebuild/rebuild.ts';

const t = cleanup(after);
const END = Date.parse('2026-06-01T00:00:00Z');
const log = randomLog({ seed: 11, prompts: 300, users: 20, from: END - 40 * 86_400_000, to: END });

async function foldAll(uri: string, sizes: number[]): Promise<void> {
  const pool = createPool({ uri, name: 'levels-test', max: 4, onError: () => {} });
  try {
    const store = createProjectionStore(pool, 1);
    for (let i = 0; ; i += 1) {
      const step = await projectBatch({ store, batchSize: sizes[i % sizes.length]!, onPoison: 'stop' });
      if (step.status === 'idle') break;
    }
    assert.deepEqual((await auditLedger(pool))?.largest, []);
  } finally {
    await pool.end();
  }
}

/** By a rebuild's own comparison: byte for byte, every table. */
async function assertRebuildsEqual(uri: string): Promise<void> {
  const { outcome, differing } = await rebuild({ uri, dryRun: true, onProgress: () => {} });
  assert.deepEqual([outcome, differing], ['dropped', []]);
}

describe('sums by levels', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase(t);
    await writeLog(database, log);
    await foldAll(database.uri, [1, 7, 40, 3]);
  });

  test('are the same when rebuilt', () => assertRebuildsEqual(database.uri));

  test('each add up to the same', async () => {
    for (const table of ['usage', 'user_usage', 'model_usage']) {
      const { rows } = await database.pool.query(`SELECT level, sum(completed)::int AS completed,
          sum(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd)::bigint AS nano_usd
        FROM ${table}_v1 GROUP BY level ORDER BY level`);
      assert.equal(rows.length, { usage: 5, user_usage: 4, model_usage: 6 }[table]);
      for (const row of rows) assert.deepEqual({ ...row, level: 0 }, { ...rows[0], level: 0 });
    }
  });

  test('know every user by a bit', async () => {
    const { rows } = await database.pool.query(`
      SELECT level, bucket, model, emulated, sum(bit_count(users))::int AS users FROM model_user_v1 GROUP BY 1, 2, 3, 4
      EXCEPT SELECT level, bucket, model, emulated, count(*)::int FROM usage_v1
       WHERE queued + running + retrying + completed + failed + cancelled + expired > 0 GROUP BY 1, 2, 3, 4`);
    assert.deepEqual(rows, []);
  });

  test('may have no prompt, but what attempts cost whose prompts are counted on the other side', async () => {
    const { rows } = await database.pool.query(`
      SELECT emulated, count(*)::int AS rows, min(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd
                                                  + input_tokens + output_tokens + thought_tokens) > 0 AS filled
        FROM usage_v1 WHERE queued + running + retrying + completed + failed + cancelled + expired = 0
       GROUP BY emulated ORDER BY emulated`);
    assert.deepEqual(
      rows.map(({ emulated, filled }) => [emulated, filled]),
      [
        [false, true],
        [true, true],
      ],
    );
    const left = await database.pool.query(`
      SELECT 1 FROM model_user_v1 m JOIN user_number_v1 n ON n.number / 512 = m.piece AND get_bit(m.users, n.number % 512) = 1
       WHERE NOT EXISTS (SELECT FROM usage_v1 u WHERE (u.level, u.bucket, u.model, u.emulated, u.user_id)
                                                    = (m.level, m.bucket, m.model, m.emulated, n.user_id)
                           AND u.queued + u.running + u.retrying + u.completed + u.failed + u.cancelled + u.expired > 0)`);
    assert.equal(left.rowCount, 0);
  });

  test('a time is found in the log as a scan would find it', async () => {
    const times = [...log.map(({ recordedAt }) => recordedAt), '2020-01-01T00:00:00Z', '2030-01-01T00:00:00Z'];
    const { rows } = await database.pool.query(
      `SELECT at FROM unnest($1::timestamptz[]) AS at
        WHERE position_at_v2(at) IS DISTINCT FROM (SELECT max(position) FROM event WHERE recorded_at <= at)`,
      [times],
    );
    assert.deepEqual(rows, []);
  });
});

test('the tables of the former layout go over to the new one in place, as a rebuild would make them', async () => {
  const database = await createTestDatabase(t);
  const { pool } = database;
  await pool.query('DROP SCHEMA public, dashboard CASCADE; CREATE SCHEMA public');
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  const all = join(import.meta.dirname, '../migrations');
  try {
    for (const file of await readdir(all)) if (/^[1-8]_/.test(file)) await cp(join(all, file), join(folder, file));
    await applyMigrations(database.uri, folder);
    // Its sums knew prompts of one side only.
    const then = log.map((event) =>
      'emulated' in event.data
        ? ({ ...event, data: { ...event.data, emulated: event.streamId.endsWith('0') } } as RecordedEvent)
        : event,
    );
    await writeLog(database, then);
    await writeFormerLayout(pool, then);
    await applyMigrations(database.uri, all);
    // What is read of a span lies together.
    for (const table of ['usage_v1_0', 'model_usage_v1', 'prompt_text_v1']) {
      const time = table === 'prompt_text_v1' ? 'submitted_at' : '(level, bucket)';
      const { rows } = await pool.query(
        `SELECT count(*)::integer AS n, count(*) FILTER (WHERE back)::integer AS back
           FROM (SELECT ${time} < lag(${time}) OVER (ORDER BY ctid) AS back FROM ${table}) r`,
      );
      assert.ok(rows[0].n > 200 && rows[0].back < rows[0].n / 50, `${table}: ${rows[0].back} of ${rows[0].n}`);
    }
    await assertRebuildsEqual(database.uri);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** As schema 8 kept them. */
async function writeFormerLayout(pool: pg.Pool, events: RecordedEvent[]): Promise<void> {
  const { prompts, texts, usage } = foldBatch(new Map(), events);
  const latencies = usage.flatMap(({ bins, ...key }) =>
    bins.map((packed) => ({
      ...key,
      measure: measureOf(packed % 4096),
      bin: binOfCode(packed % 4096),
      n: Math.floor(packed / 4096),
    })),
  );
  const former = prompts.map(({ submitted_position: _, state: { submittedPosition: __, ...state }, ...row }) => ({
    ...row,
    state,
  }));
  for (const [table, rows] of Object.entries({ prompt: former, usage, latency: latencies })) {
    await pool.query(`INSERT INTO ${table}_v1 SELECT * FROM jsonb_populate_recordset(NULL::${table}_v1, $1)`, [
      JSON.stringify(rows),
    ]);
  }
  await pool.query(
    `INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, answer, encoding)
     SELECT * FROM jsonb_to_recordset($1) AS r(prompt_id uuid, user_id text, prompt text, answer text, encoding text)`,
    [JSON.stringify(texts)],
  );
  const last = events.at(-1)!;
  await pool.query('UPDATE cursor SET position = $1, as_of = $2', [last.position, last.recordedAt]);
}

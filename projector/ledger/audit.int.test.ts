/** The ledger beside what the events tell, and beside the read models: equal, or told. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { fold } from '../../contracts/prompt/state.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { randomLog, writeLog } from '../../testing/kit/random-log.ts';
import { EMPTY } from '../../testing/kit/spoilt-ledger.ts';
import { appendStrange } from '../../testing/kit/strange-event.ts';
import { until } from '../../testing/kit/until.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore } from '../projection-store.ts';
import { type Audit, auditLedger } from './audit.ts';
import { createAuditor } from './auditor.ts';

const t = cleanup(after);
const END = Date.parse('2026-06-01T00:00:00Z');
const log = randomLog({ seed: 23, prompts: 250, users: 12, from: END - 20 * 86_400_000, to: END });

async function open(): Promise<{ database: TestDatabase; pool: pg.Pool }> {
  const database = await createTestDatabase(t);
  const pool = createPool({ uri: database.uri, name: 'ledger-test', max: 6, onError: () => {} });
  t.after(() => pool.end());
  return { database, pool };
}

async function foldTo(pool: pg.Pool, steps: number, size: number): Promise<void> {
  const store = createProjectionStore(pool, 1);
  for (let i = 0; i < steps; i += 1) await projectBatch({ store, batchSize: size, onPoison: 'park' });
}

const post = async (pool: pg.Pool, to: number): Promise<number> =>
  (await pool.query<{ position: number }>('SELECT post_ledger_v3($1) AS position', [to])).rows[0]!.position;

const text = async (pool: pg.Pool): Promise<string[]> => {
  const entries = await pool.query<{ row: string }>(
    'SELECT e::text AS row FROM ledger_entry e ORDER BY prompt_id, attempt',
  );
  const accounts = await pool.query<{ row: string }>(
    'SELECT a::text AS row FROM ledger_account a ORDER BY user_id, model',
  );
  return [...entries.rows, ...accounts.rows].map(({ row }) => row);
};

describe('the ledger', () => {
  let pool: pg.Pool;
  let database: TestDatabase;
  before(async () => {
    ({ pool, database } = await open());
    await writeLog(database, log);
  });

  test('has one entry for each attempt, as a fold of its events has it', async () => {
    for (let to = 0; to < log.length; ) {
      to = await post(pool, Math.min(log.length, to + 37));
    }
    const { rows } = await pool.query<{
      key: string;
      state: string;
      nano_usd: number | null;
      bound_nano_usd: number | null;
      emulated: boolean;
      price_version: string;
    }>(
      `SELECT prompt_id || '/' || attempt AS key, state, nano_usd, bound_nano_usd, emulated, price_version FROM ledger_entry`,
    );
    const states = [...Map.groupBy(log, ({ streamId }) => streamId).values()].map((stream) => fold(stream)!);
    const attempts = states.flatMap((state) => state.attempts.map((attempt) => ({ state, attempt })));
    assert.equal(rows.length, attempts.length);
    const entries = new Map(rows.map(({ key, ...entry }) => [key, entry]));
    const seen = new Set<string>();
    for (const { state, attempt } of attempts) {
      const { end, nanoUsd, boundNanoUsd, emulated } = attempt;
      const paid = end === 'answered' ? 'confirmed' : nanoUsd === 0 ? 'void' : 'wasted';
      const expected = end === 'open' ? 'reserved' : nanoUsd === null ? 'unknown' : paid;
      seen.add(expected);
      assert.deepEqual(entries.get(`${state.promptId}/${attempt.attempt}`), {
        state: expected,
        nano_usd: nanoUsd,
        bound_nano_usd: nanoUsd === null ? boundNanoUsd : null,
        emulated,
        price_version: attempt.priceVersion,
      });
    }
    assert.deepEqual([...seen].sort(), ['confirmed', 'reserved', 'unknown', 'void', 'wasted']);
    assert.ok(log.some(({ type }) => type === 'AttemptCostCorrected'));
  });

  test('is the same whatever the steps, and posts nothing twice', async () => {
    const once = await text(pool);
    assert.equal(await post(pool, 5), log.length);
    assert.deepEqual(await text(pool), once);
    await database.pool.query(EMPTY);
    await post(pool, log.length);
    assert.deepEqual(await text(pool), once);
  });

  test('agrees with the read models wherever they stand', async () => {
    await database.pool.query(EMPTY);
    for (let step = 0; step < 8; step += 1) {
      await foldTo(pool, 1, Math.ceil(log.length / 8));
      const audit = await auditLedger(pool);
      assert.deepEqual([audit?.largest, audit?.sums, audit?.nanoUsd], [[], 0, 0]);
      const { rows } = await pool.query('SELECT position FROM live_projection');
      assert.equal(audit?.position, rows[0].position);
    }
    assert.equal((await auditLedger(pool))?.position, log.length);
  });

  for (const [what, rows] of [
    ['account', `usage_v1 SET wasted_nano_usd = wasted_nano_usd + $1 WHERE level = 5 AND user_id = 'user-0'`],
    ['user', 'user_usage_v1 SET wasted_nano_usd = wasted_nano_usd + $1 WHERE level = 5'],
    ['model', 'model_usage_v1 SET wasted_nano_usd = wasted_nano_usd + $1 WHERE level = 5'],
  ] as const) {
    test(`tells a sum that is wrong: of a ${what}`, async () => {
      const change = (sign: string) => database.pool.query(`UPDATE ${rows}`, [Number(`${sign}7`)]);
      await change('+');
      const found = await auditLedger(pool);
      assert.ok(found?.largest.some((one) => one.what === what && one.nanoUsd > 0 && one.nanoUsd % 7 === 0));
      await change('-');
      assert.equal((await auditLedger(pool))?.sums, 0);
    });
  }

  test('tells money that stands on the wrong side: of the emulator, or of a real key', async () => {
    const change = (sign: string) =>
      database.pool.query(`UPDATE usage_v1 SET confirmed_nano_usd = confirmed_nano_usd ${sign} CASE WHEN emulated THEN 7 ELSE -7 END
         WHERE level = 5 AND (user_id, model) IN (SELECT user_id, model FROM usage_v1 WHERE level = 5
                                                   GROUP BY user_id, model HAVING count(*) = 2)`);
    await change('+');
    const accounts = (await auditLedger(pool))?.largest.filter(({ what }) => what === 'account') ?? [];
    assert.deepEqual(
      new Set(accounts.map(({ emulated, nanoUsd }) => `${emulated} ${nanoUsd}`)),
      new Set(['true 7', 'false 7']),
    );
    await change('-');
  });

  test('tells a prompt that is counted twice, though it cost nothing', async () => {
    const change = (sign: string) =>
      database.pool.query(`UPDATE usage_v1 SET queued = queued ${sign} 1 WHERE level = 5 AND user_id = 'user-0'`);
    await change('+');
    const found = await auditLedger(pool);
    assert.ok(
      found!.largest.length > 0 && found!.largest.every(({ prompts, nanoUsd }) => prompts > 0 && nanoUsd === 0),
    );
    await change('-');
  });

  test('is written by nobody but its posting', async () => {
    for (const statement of [
      'UPDATE ledger_entry SET nano_usd = 0',
      'DELETE FROM ledger_entry',
      'UPDATE ledger_account SET wasted_nano_usd = 0',
      'UPDATE ledger_head SET position = 0',
    ]) {
      await assert.rejects(pool.query(statement), { code: '42501' });
    }
  });

  test('of attempts that end long after they started is posted by key: none is compared with every other', async () => {
    const other = await open();
    const ATTEMPTS = 500;
    await other.database.pool.query(
      `INSERT INTO event (position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
       SELECT (k - 1) * $1 + n, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, k, gen_random_uuid(),
              (ARRAY['AttemptStarted', 'PromptCompleted'])[k], 1,
              '{"userId": "ada", "model": "m", "attempt": 1, "nanoUsd": null, "boundNanoUsd": 9}', '{}', now()
         FROM generate_series(1, $1::integer) n, generate_series(1, 2) k`,
      [ATTEMPTS],
    );
    await other.database.pool.query('UPDATE log_head SET position = $1', [2 * ATTEMPTS]);
    await post(other.pool, ATTEMPTS);
    // The statement that the function runs, planned as it is there.
    const { rows } = await other.database.pool.query<{ source: string; settings: string[] }>(
      `SELECT prosrc AS source, proconfig AS settings FROM pg_proc WHERE oid = 'post_ledger_v3(bigint, boolean)'::regprocedure`,
    );
    const { source, settings } = rows[0]!;
    const statement = source.split('$sql$')[1]!.replaceAll('%1$s', '').replaceAll('%2$s', 'event');
    const client = await other.database.pool.connect();
    try {
      await client.query('BEGIN');
      for (const setting of settings.filter((one) => one.startsWith('enable_')))
        await client.query(`SET LOCAL ${setting.replace('=', ' = ')}`);
      const plan = await client.query<{ 'QUERY PLAN': object }>(`EXPLAIN (ANALYZE, FORMAT JSON) ${statement}`, [
        ATTEMPTS,
        2 * ATTEMPTS,
      ]);
      const told = JSON.stringify(plan.rows[0]!['QUERY PLAN']);
      assert.match(told, /"Index Name":"ledger_entry_pkey"/);
      const compared = [...told.matchAll(/"Rows Removed by Join Filter":(\d+)/g)].map(([, n]) => Number(n));
      assert.ok(Math.max(0, ...compared) < ATTEMPTS, `${compared} pairs`);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('of a log with a hole is posted no further', async () => {
    const other = await open();
    await writeLog(
      other.database,
      log.filter(({ position }) => position !== 40),
    );
    await assert.rejects(post(other.pool, 60), /the log has 59 of 60 events/);
    assert.equal(await post(other.pool, 39), 39);
  });
});

test('accounts of the release before know from then on what of them is the emulator’s', async () => {
  const { database, pool } = await open();
  await database.pool.query('DROP SCHEMA public, dashboard CASCADE; CREATE SCHEMA public');
  const all = join(import.meta.dirname, '../../migrations');
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  try {
    for (const file of await readdir(all))
      if (Number.parseInt(file, 10) < 18) await cp(join(all, file), join(folder, file));
    await applyMigrations(database.uri, folder);
    // That release told the prices of an attempt's last word, also where its cost was known before.
    const atOnePrice = log.map((event) => ({ ...event, data: { ...event.data, priceVersion: 'p' } }) as typeof event);
    await writeLog(database, atOnePrice);
    const half = Math.floor(log.length / 2);
    await database.pool.query('SELECT post_ledger_v1($1)', [half]);
    await applyMigrations(database.uri, all);
    await post(pool, log.length);
  } finally {
    await rm(folder, { recursive: true });
  }
  const posted = await text(pool);
  await database.pool.query(EMPTY);
  await post(pool, log.length);
  assert.deepEqual(await text(pool), posted);
  const { rows } = await pool.query('SELECT sum(notional_confirmed_nano_usd) > 0 AS some FROM ledger_account');
  assert.deepEqual(rows, [{ some: true }]);
});

describe('an audit', () => {
  test('by two at once, while events come and are folded, finds nothing wrong', async () => {
    const { pool } = await open();
    const appender = createAppender({ pool, queueLimit: 10_000 });
    t.after(() => appender.stop());
    let running = true;
    const write = (async () => {
      for (let n = 0; n < 150; n += 10)
        await Promise.all(Array.from({ length: 10 }, (_, i) => appendHistory(appender.append, n + i)));
      running = false;
    })();
    const tail = (async () => {
      while (running) await foldTo(pool, 1, 50);
    })();
    const audits: Audit[] = [];
    const audit = async () => {
      while (running) {
        const found = await auditLedger(pool);
        if (found) audits.push(found);
      }
    };
    await Promise.all([write, tail, audit(), audit()]);
    assert.ok(audits.length > 2, `${audits.length} audits`);
    assert.deepEqual(
      audits.filter(({ sums }) => sums > 0),
      [],
    );
  });

  test('passes over the users of a stream that is set aside', async () => {
    const { pool, database } = await open();
    const appender = createAppender({ pool, queueLimit: 100 });
    const ids: string[] = [];
    for (let n = 0; n < 10; n += 1) ids.push(await appendHistory(appender.append, n));
    // Cancelled while it ran: a later end of its attempt is on record, which the read models do not see behind the stranger.
    await appendStrange(database.pool, ids[4]!);
    await appender.stop();
    await foldTo(pool, 3, 100);
    const { rows } = await pool.query('SELECT stream_id FROM parked_stream');
    assert.deepEqual(rows, [{ stream_id: ids[4] }]);
    assert.equal((await auditLedger(pool))?.sums, 0);
    await database.pool.query(`UPDATE usage_v1 SET failed = failed + 1 WHERE level = 5 AND user_id = 'user-4'`);
    const found = await auditLedger(pool);
    assert.deepEqual(
      found?.largest.filter(({ what }) => what === 'account'),
      [],
    );
  });

  test('is made again and again, loud when something is wrong, and ends with its process', async () => {
    const { pool, database } = await open();
    const appender = createAppender({ pool, queueLimit: 100 });
    await appendHistory(appender.append, 1);
    await appender.stop();
    await foldTo(pool, 2, 100);
    const audits: Audit[] = [];
    const errors: { what: object; said: string }[] = [];
    const auditor = createAuditor({
      pool,
      postEveryMs: 5,
      auditEveryMs: 20,
      onAudit: (audit) => audits.push(audit),
      logger: { warn: (what, said) => errors.push({ what, said }), error: (what, said) => errors.push({ what, said }) },
    });
    auditor.start();
    await until('two audits', () => audits.length >= 2);
    assert.deepEqual(errors, []);
    await database.pool.query('UPDATE user_usage_v1 SET confirmed_nano_usd = confirmed_nano_usd + 5 WHERE level = 5');
    const { what, said } = await until('it is told', () => errors[0]);
    assert.equal(said, 'ledger: the sums of the read models DIFFER from it');
    const [largest] = (what as Audit).largest;
    assert.deepEqual(
      [largest?.what, largest?.level, largest?.userId, largest?.emulated, largest?.nanoUsd, largest?.tokens],
      ['user', 5, 'user-1', false, 5, 0],
    );
    await auditor.stop();
    const made = audits.length;
    await auditor.stop();
    assert.equal(audits.length, made);
  });
});

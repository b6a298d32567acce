import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { spendOf } from '../../contracts/prompt/spend.ts';
import { fold } from '../../contracts/prompt/state.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readStreams } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { createPriceBook } from '../../platform/prices/price-book.ts';
import { repricing } from '../../platform/prices/rerate.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { type RerateOptions, rerateLog } from './rerate-log.ts';
import { totalOf } from './tally.ts';

const t = cleanup(after);
const READ_BY_STREAM = readSql(import.meta.url, '../../platform/postgres/sql/read-by-stream.sql');
const again = repricing({ book: createPriceBook() });
let database: TestDatabase;
let append: ReturnType<typeof createAppender>;
let ids: string[];

before(async () => {
  database = await createTestDatabase(t);
  const pool = createPool({ uri: database.uri, name: 'rerate-test', max: 2, onError: () => undefined });
  t.after(() => pool.end());
  append = createAppender({ pool, queueLimit: 10_000 });
  t.after(append.stop);
  ids = await Promise.all(Array.from({ length: 60 }, (_, i) => appendHistory(append.append, i)));
});

const rated = (options: Partial<RerateOptions> = {}) =>
  rerateLog({ uri: database.uri, repricing: again, onProgress: () => {}, ...options });

describe('re-rating a log', () => {
  test('sums what every prompt’s stream tells, whatever the size of a page', async () => {
    const streams = await readStreams(database.pool, ids);
    const spends = [...streams.values()].map((events) => spendOf(fold(events)!));
    const whole = await rated();
    const { asCharged, prompts } = totalOf(whole.rows);
    assert.equal(prompts, 60);
    for (const name of ['confirmed', 'wasted', 'unknownBound'] as const)
      assert.equal(asCharged[name], BigInt(spends.reduce((sum, spend) => sum + spend[name], 0)));
    assert.ok(asCharged.confirmed > 0n && asCharged.wasted > 0n);
    assert.deepEqual(await rated({ pageSize: 1 }), whole);
    assert.deepEqual(await rated({ pageSize: 7 }), whole);
  });

  test('tells its progress to the last event', async () => {
    const told: { events: number; total: number }[] = [];
    const { position } = await rated({ pageSize: 50, onProgress: (progress) => told.push(progress) });
    assert.deepEqual(told.at(-1), { events: position, total: position });
    assert.equal(told.length, Math.ceil(position / 50));
  });

  test('sees one state of the log, while it goes on', async () => {
    const { position } = await rated();
    let more: Promise<string> | null = null;
    const seen = await rated({
      pageSize: 10,
      onProgress: () => {
        more ??= appendHistory(append.append, 1);
      },
    });
    await more;
    assert.equal(seen.position, position);
    assert.ok((await rated()).position > position);
  });

  test('holds a transaction that cannot write', async () => {
    const seen: Promise<unknown>[] = [];
    const text = `SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
      WHERE a.application_name = 'replay' AND a.datname = current_database() AND l.mode NOT IN ('AccessShareLock', 'ExclusiveLock')`;
    await rated({ pageSize: 10, onProgress: () => seen.push(database.pool.query(text).then(({ rows }) => rows)) });
    assert.ok(seen.length > 3);
    assert.deepEqual((await Promise.all(seen)).flat(), []);
  });

  test('reads pages from the index, without a sort', async () => {
    const client = await database.pool.connect();
    try {
      await client.query('BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off');
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (GENERIC_PLAN) ${READ_BY_STREAM}`);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      assert.match(plan, /Index Scan using event_stream_version_key/);
      assert.doesNotMatch(plan, /Sort/);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('stops at an event that it cannot read, and names it', async () => {
    const broken = { read: () => assert.fail('no such price') };
    await assert.rejects(rated({ repricing: broken }), {
      code: 'rerate_refused',
      message: /^Event \d+ of prompt [\w-]{36}: no such price$/,
    });
  });

  for (const [what, missing, message] of [
    ['an event', 'version = 2', /^version 2 of stream [\w-]{36} is missing from the log$/],
    [
      'a stream',
      `stream_id = (SELECT stream_id FROM event ORDER BY position DESC LIMIT 1)`,
      /^\d+ of \d+ events are missing from the log$/,
    ],
  ] as const)
    test(`notices that ${what} is missing`, async () => {
      const copy = await createTestDatabase(t);
      const appender = createAppender({ pool: copy.pool, queueLimit: 100 });
      for (const n of [0, 1, 2]) await appendHistory(appender.append, n);
      await appender.stop();
      await copy.pool.query('ALTER TABLE event DISABLE TRIGGER USER');
      await copy.pool.query(`DELETE FROM event WHERE ${missing}`);
      await assert.rejects(rated({ uri: copy.uri }), { code: 'log_gap', message });
    });
});

/** Every table that answers are read from, at every level of time: a cell of the span that is drawn is right, or told. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { randomLog, writeLog } from '../../testing/kit/random-log.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore } from '../projection-store.ts';
import { auditLedger } from './audit.ts';

const t = cleanup(after);
const END = Date.parse('2026-06-01T00:00:00Z');
let database: TestDatabase;
let pool: pg.Pool;

before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'audit-spans', max: 3, onError: () => {} });
  t.after(() => pool.end());
  await writeLog(database, randomLog({ seed: 23, prompts: 250, users: 12, from: END - 20 * 86_400_000, to: END }));
  const store = createProjectionStore(pool, 1);
  while ((await projectBatch({ store, batchSize: 500, onPoison: 'park' })).status !== 'idle');
});

describe('an audit looks at a span that is drawn', () => {
  /** Draws the `place`th of the `spans` of a level. */
  const drawing = (level: number, place: number, spans: number) => {
    const draws = [(level + 0.5) / 6, (place + 0.5) / spans, 0.5];
    return { random: () => draws.shift()! };
  };
  const levels = [0, 1, 2, 3, 4, 5];
  const spansOf = async (level: number) =>
    (
      await database.pool.query<{ bucket: string }>(
        'SELECT DISTINCT bucket::text FROM model_usage_v1 WHERE level = $1 ORDER BY bucket',
        [level],
      )
    ).rows.map(({ bucket }) => bucket);

  test('of any level, and finds nothing wrong', async () => {
    for (const level of levels) {
      const spans = await spansOf(level);
      for (const place of spans.keys())
        assert.deepEqual((await auditLedger(pool, drawing(level, place, spans.length)))?.largest, []);
    }
  });

  for (const [column, of] of [
    ['output_tokens', 'tokens'],
    ['unknown_attempts', 'unknownAttempts'],
  ] as const)
    test(`tells ${column} that no event has, though every table has them at every level`, async () => {
      const spans = await spansOf(0);
      const place = Math.floor(spans.length / 2);
      const { rows } = await database.pool.query<{ user_id: string; model: string }>(
        'SELECT DISTINCT user_id, model FROM usage_v1 WHERE level = 0 AND bucket = $1 ORDER BY user_id, model',
        [spans[place]],
      );
      const { user_id, model } = rows[Math.floor(rows.length / 2)]!;
      const add = async (n: number) => {
        for (const [table, key] of [
          ['usage', '(user_id, model) = ($2, $3)'],
          ['user_usage', 'user_id = $2 AND $3::text IS NOT NULL'],
          ['model_usage', 'model = $3 AND $2::text IS NOT NULL'],
        ])
          await database.pool.query(
            `UPDATE ${table}_v1 t SET ${column} = ${column} + $4
            WHERE bucket = level_start_v1(level, $1) AND ${key}
              AND emulated = (SELECT bool_and(emulated) FROM usage_v1
                               WHERE level = 0 AND bucket = $1 AND (user_id, model) = ($2, $3))`,
            [spans[place], user_id, model, n],
          );
      };
      await add(3);
      const found = await auditLedger(pool, drawing(0, place, spans.length));
      assert.deepEqual(
        found?.largest.map((one) => [one.what, one.userId, one[of]]),
        [['tokens', user_id, 3]],
      );
      await add(-3);
    });

  for (const [table, level] of [
    ...[0, 2, 3, 4, 5].map((level) => ['usage', level] as const),
    ...[2, 3, 4, 5].map((level) => ['user_usage', level] as const),
    ...levels.map((level) => ['model_usage', level] as const),
  ]) {
    for (const cell of ['confirmed_nano_usd', 'thought_tokens', 'cancelled', 'unknown_attempts']) {
      test(`tells a cell that is wrong: ${cell} of ${table}, level ${level}`, async () => {
        const spans = await spansOf(level);
        const place = Math.floor(spans.length / 3);
        const spoilt = await database.pool.query<{ place: string }>(
          `UPDATE ${table}_v1 SET ${cell} = ${cell} + 3 WHERE (tableoid, ctid) =
             (SELECT tableoid, ctid FROM ${table}_v1 WHERE level = $1 AND bucket = $2 LIMIT 1)
           RETURNING tableoid || ' ' || ctid AS place`,
          [level, spans[place]],
        );
        const found = await auditLedger(pool, drawing(level, place, spans.length));
        assert.ok(found!.largest.some((one) => one.level === level));
        const byHowMuch = found!.largest.map((one) => one.prompts + one.nanoUsd + one.tokens + one.unknownAttempts);
        assert.ok(byHowMuch.every((n) => n === 3));
        await database.pool.query(`UPDATE ${table}_v1 SET ${cell} = ${cell} - 3 WHERE tableoid || ' ' || ctid = $1`, [
          spoilt.rows[0]!.place,
        ]);
        assert.equal((await auditLedger(pool, drawing(level, place, spans.length)))?.sums, 0);
      });
    }

    test(`tells a prompt under another status: ${table}, level ${level}`, async () => {
      const spans = await spansOf(level);
      const place = Math.floor(spans.length / 3);
      const spoilt = await database.pool.query<{ place: string }>(
        `UPDATE ${table}_v1 SET failed = failed - 1, expired = expired + 1 WHERE (tableoid, ctid) =
           (SELECT tableoid, ctid FROM ${table}_v1 WHERE level = $1 AND bucket = $2 LIMIT 1)
         RETURNING tableoid || ' ' || ctid AS place`,
        [level, spans[place]],
      );
      const found = await auditLedger(pool, drawing(level, place, spans.length));
      assert.ok(found!.largest.some((one) => one.level === level));
      assert.ok(found!.largest.every((one) => one.prompts === 1));
      await database.pool.query(
        `UPDATE ${table}_v1 SET failed = failed + 1, expired = expired - 1 WHERE tableoid || ' ' || ctid = $1`,
        [spoilt.rows[0]!.place],
      );
      assert.equal((await auditLedger(pool, drawing(level, place, spans.length)))?.sums, 0);
    });
  }

  test('tells prompts in a bin that were never completed, though every histogram has them', async () => {
    const spans = await spansOf(0);
    const place = Math.floor(spans.length / 2);
    const { rows } = await database.pool.query<{ place: string; code: number; model: string; emulated: boolean }>(
      `SELECT tableoid || ' ' || ctid AS place, (bins[1] & 4095)::integer AS code, model, emulated FROM usage_v1
        WHERE level = 0 AND bucket = $1 AND bins <> '{}' ORDER BY user_id, model, emulated LIMIT 1`,
      [spans[place]],
    );
    const [row] = rows;
    const add = async (n: number) => {
      const moved = await database.pool.query<{ place: string }>(
        `UPDATE usage_v1 SET bins[1] = bins[1] + $2 * 4096 WHERE tableoid || ' ' || ctid = $1
         RETURNING tableoid || ' ' || ctid AS place`,
        [row!.place, n],
      );
      row!.place = moved.rows[0]!.place;
      const values = [spans[place], row!.model, row!.emulated, row!.code, n];
      await database.pool.query(
        `UPDATE model_usage_v1 SET bins = ARRAY(SELECT CASE WHEN b & 4095 = $4 THEN b + $5 * 4096 ELSE b END
                                                   FROM unnest(bins) WITH ORDINALITY AS u(b, i) ORDER BY i)
          WHERE level < 2 AND bucket = level_start_v1(level, $1) AND (model, emulated) = ($2, $3)`,
        values,
      );
      await database.pool.query(
        `UPDATE model_latency_v1 SET n = n + $5
          WHERE bucket = level_start_v1(level, $1) AND (model, emulated, bin) = ($2, $3, $4)`,
        values,
      );
    };
    await add(2);
    for (const [level, of, whats] of [
      [0, place, ['latency', 'model_latency']],
      [5, 0, ['model_latency']],
    ] as const) {
      const found = await auditLedger(pool, drawing(level, of, (await spansOf(level)).length));
      assert.deepEqual(
        found!.largest.map(({ what, prompts }) => [what, prompts]).sort(),
        whats.map((what) => [what, 2]),
      );
    }
    await add(-2);
  });

  test('tells that a real key was first used elsewhere, or by nobody', async () => {
    const { rows } = await database.pool.query<{ position: number }>('SELECT position FROM real_use_v1');
    const { position } = rows[0]!;
    for (const spoilt of ['UPDATE real_use_v1 SET position = 1', 'DELETE FROM real_use_v1']) {
      await database.pool.query(spoilt);
      const found = await auditLedger(pool, drawing(5, 0, 1));
      assert.deepEqual([found!.sums, found!.largest.map(({ what }) => what)], [1, ['real_use']]);
      await database.pool.query(
        'INSERT INTO real_use_v1 (position) VALUES ($1) ON CONFLICT (singleton) DO UPDATE SET position = $1',
        [position],
      );
      assert.equal((await auditLedger(pool, drawing(5, 0, 1)))?.sums, 0);
    }
  });

  test('tells a user that has prompts and no number', async () => {
    const change = (user: string, to: string) =>
      database.pool.query('UPDATE user_number_v1 SET user_id = $2 WHERE user_id = $1', [user, to]);
    await change('user-0', 'nobody');
    const found = await auditLedger(pool, drawing(5, 0, 1));
    assert.ok(
      found!.largest.length > 0 && found!.largest.every(({ what, users }) => what === 'model_user' && users > 0),
    );
    await change('nobody', 'user-0');
    assert.equal((await auditLedger(pool, drawing(5, 0, 1)))?.sums, 0);
  });

  for (const [table, level, cell, spoil, heal] of [
    // Of quarters and hours in an array: one more of the first of its codes, or that code another one.
    ...(['usage', 'model_usage', 'model_usage'] as const).flatMap((table, i) => [
      [table, Math.floor(i / 2), 'bins', '3 * 4096', '-3 * 4096'] as const,
      [table, Math.floor(i / 2), 'bin', '1', '-1'] as const,
    ]),
    ...[2, 3, 4, 5].flatMap((level) => [
      ['model_latency', level, 'n', '3', '-3'] as const,
      ['model_latency', level, 'bin', '7000', '-7000'] as const,
    ]),
    ...[0, 2, 3, 4, 5].flatMap((level) =>
      [0, 511].map((bit) => ['model_user', level, 'users', String(bit), String(bit)] as const),
    ),
  ]) {
    const isArray = table === 'usage' || table === 'model_usage';
    const column = isArray ? 'bins[1]' : cell;
    const changed = (by: string) =>
      cell === 'users' ? `users # set_bit(0::bit(512), ${by}, 1)` : `${column} + (${by})`;
    test(`tells a cell that is wrong: ${column} + ${spoil} of ${table}, level ${level}`, async () => {
      const spans = await spansOf(level);
      const place = Math.floor(spans.length / 3);
      const n = cell === 'bin' ? (isArray ? '(bins[1] >> 12)::integer' : 'n::integer') : cell === 'users' ? '1' : '3';
      const spoilt = await database.pool.query<{ place: string; n: number }>(
        `UPDATE ${table}_v1 SET ${column} = ${changed(spoil)} WHERE (tableoid, ctid) =
           (SELECT tableoid, ctid FROM ${table}_v1 WHERE bucket = $1 AND level = ${level} ${isArray ? "AND bins <> '{}'" : ''} LIMIT 1)
         RETURNING tableoid || ' ' || ctid AS place, ${n} AS n`,
        [spans[place]],
      );
      const [row] = spoilt.rows;
      const found = await auditLedger(pool, drawing(level, place, spans.length));
      // A user's histogram is in its model's too; which of both is wrong is not known.
      const ofUser = cell === 'bin' ? ['model_latency'] : ['latency', 'model_latency'];
      const expected = table === 'usage' ? ofUser : [table === 'model_usage' ? 'model_latency' : table];
      assert.deepEqual(found!.largest.map(({ what }) => what).sort(), expected);
      assert.equal(found!.sums, expected.length);
      for (const one of found!.largest) {
        assert.deepEqual([one.level, one.bucket !== null, one.nanoUsd, one.tokens], [level, true, 0, 0]);
        assert.equal(one.prompts + one.users, row!.n);
      }
      await database.pool.query(
        `UPDATE ${table}_v1 SET ${column} = ${changed(heal)} WHERE tableoid || ' ' || ctid = $1`,
        [row!.place],
      );
      assert.equal((await auditLedger(pool, drawing(level, place, spans.length)))?.sums, 0);
    });
  }
});

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

  test('tells tokens that no event has, though every table has them at every level', async () => {
    const spans = await spansOf(0);
    const place = Math.floor(spans.length / 2);
    const { rows } = await database.pool.query<{ user_id: string; model: string }>(
      'SELECT DISTINCT user_id, model FROM usage_v1 WHERE level = 0 AND bucket = $1 ORDER BY user_id, model',
      [spans[place]],
    );
    const { user_id, model } = rows[Math.floor(rows.length / 2)]!;
    const add = async (tokens: number) => {
      for (const [table, key] of [
        ['usage', '(user_id, model) = ($2, $3)'],
        ['user_usage', 'user_id = $2 AND $3::text IS NOT NULL'],
        ['model_usage', 'model = $3 AND $2::text IS NOT NULL'],
      ])
        await database.pool.query(
          `UPDATE ${table}_v1 t SET output_tokens = output_tokens + $4
            WHERE bucket = level_start_v1(level, $1) AND ${key}
              AND emulated = (SELECT bool_and(emulated) FROM usage_v1
                               WHERE level = 0 AND bucket = $1 AND (user_id, model) = ($2, $3))`,
          [spans[place], user_id, model, tokens],
        );
    };
    await add(3);
    const found = await auditLedger(pool, drawing(0, place, spans.length));
    assert.deepEqual(
      found?.largest.map(({ what, userId, tokens }) => [what, userId, tokens]),
      [['tokens', user_id, 3]],
    );
    await add(-3);
  });

  for (const [table, level] of [
    ...[0, 2, 3, 4, 5].map((level) => ['usage', level] as const),
    ...[2, 3, 4, 5].map((level) => ['user_usage', level] as const),
    ...levels.map((level) => ['model_usage', level] as const),
  ]) {
    for (const cell of ['confirmed_nano_usd', 'thought_tokens', 'cancelled']) {
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
        assert.ok(found!.largest.every(({ prompts, nanoUsd, tokens }) => prompts + nanoUsd + tokens === 3));
        await database.pool.query(`UPDATE ${table}_v1 SET ${cell} = ${cell} - 3 WHERE tableoid || ' ' || ctid = $1`, [
          spoilt.rows[0]!.place,
        ]);
        assert.equal((await auditLedger(pool, drawing(level, place, spans.length)))?.sums, 0);
      });
    }
  }

  test('tells prompts in a bin that were never completed, though every histogram has them', async () => {
    const spans = await spansOf(0);
    const place = Math.floor(spans.length / 2);
    const one = `(SELECT bucket, model, emulated, measure, bin FROM latency_v1 WHERE bucket = $1
                   ORDER BY user_id, model, emulated, measure, bin LIMIT 1)`;
    const add = async (n: number) => {
      for (const level of levels)
        await database.pool.query(
          `UPDATE model_latency_v1 t SET n = t.n + $2 FROM ${one} l WHERE t.level = ${level}
              AND t.bucket = level_start_v1(${level}::smallint, l.bucket)
              AND (t.model, t.emulated, t.measure, t.bin) = (l.model, l.emulated, l.measure, l.bin)`,
          [spans[place], n],
        );
      await database.pool.query(
        `UPDATE latency_v1 SET n = n + $2 WHERE (user_id, bucket, model, emulated, measure, bin) =
           (SELECT user_id, bucket, model, emulated, measure, bin FROM latency_v1 WHERE bucket = $1
             ORDER BY user_id, model, emulated, measure, bin LIMIT 1)`,
        [spans[place], n],
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
    ...levels.flatMap((level) =>
      (level === 0 ? ['latency', 'model_latency'] : ['model_latency']).flatMap((table) => [
        [table, level, 'n', 'n + 3', 'n - 3'] as const,
        [table, level, 'bin', 'bin + 7000', 'bin - 7000'] as const,
      ]),
    ),
    ...[0, 2, 3, 4, 5].flatMap((level) =>
      [0, 511].map((bit) => {
        const flipped = `users # set_bit(0::bit(512), ${bit}, 1)`;
        return ['model_user', level, 'users', flipped, flipped] as const;
      }),
    ),
  ]) {
    test(`tells a cell that is wrong: ${spoil} of ${table}, level ${level}`, async () => {
      const spans = await spansOf(level);
      const place = Math.floor(spans.length / 3);
      const spoilt = await database.pool.query<{ ctid: string; n: number }>(
        `UPDATE ${table}_v1 t SET ${cell} = ${spoil} WHERE ctid =
           (SELECT ctid FROM ${table}_v1 WHERE bucket = $1 ${table === 'latency' ? '' : `AND level = ${level}`} LIMIT 1)
         RETURNING ctid::text, ${cell === 'bin' ? 'n::integer' : cell === 'n' ? '3' : '1'} AS n`,
        [spans[place]],
      );
      const [{ ctid, n }] = spoilt.rows as [{ ctid: string; n: number }];
      const found = await auditLedger(pool, drawing(level, place, spans.length));
      // A user's histogram is in its model's too; which of both is wrong is not known.
      const told = table === 'latency' && cell === 'n' ? ['latency', 'model_latency'] : [table];
      const expected = cell === 'bin' ? ['model_latency'] : told;
      assert.deepEqual(found!.largest.map(({ what }) => what).sort(), expected);
      assert.equal(found!.sums, expected.length);
      for (const one of found!.largest) {
        assert.deepEqual([one.level, one.bucket !== null, one.nanoUsd, one.tokens], [level, true, 0, 0]);
        assert.equal(one.prompts + one.users, n);
      }
      await database.pool.query(`UPDATE ${table}_v1 SET ${cell} = ${heal} WHERE ctid = $1::tid`, [ctid]);
      assert.equal((await auditLedger(pool, drawing(level, place, spans.length)))?.sums, 0);
    });
  }
});

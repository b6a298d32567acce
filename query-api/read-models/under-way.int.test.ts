/** Who was under way at a position is found by classes of spans: against a look at every row, with spans of every size. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createRandom } from '../../testing/kit/random.ts';

const t = cleanup(after);
let database: TestDatabase;

const UNDER_WAY = versionedSql(import.meta.url, '../sql/as-of-changed.sql')(1);
const PROMPTS = 2_000;
/** Positions between two submissions. */
const STEP = 7;
const SEED = 20_261_126;

/** On, just below and just above the bounds of the classes, and anything between them. */
function spanOf(random: ReturnType<typeof createRandom>): number {
  const bound = 4 ** random.between(0, 13);
  return random.chance(0.3) ? Math.max(0, bound + random.between(-1, 1)) : random.between(0, bound);
}

before(async () => {
  database = await createTestDatabase(t);
  const random = createRandom(SEED);
  const rows = Array.from({ length: PROMPTS }, (_, n) => ({
    user_id: `user-${n % 3}`,
    model: `m${n % 2}`,
    submitted_at: new Date(Date.parse('2026-03-01T00:00:00Z') + n * 1_000).toISOString(),
    submitted_position: n * STEP,
    position: n * STEP + spanOf(random),
  }));
  await database.pool.query(
    `INSERT INTO prompt_v1 (prompt_id, user_id, status, model, emulated, submitted_at, submitted_position, position, state)
     SELECT gen_random_uuid(), user_id, 'completed', model, false, submitted_at, submitted_position, position,
            ''
       FROM jsonb_to_recordset($1) AS r(user_id text, model text, submitted_at timestamptz, submitted_position bigint, position bigint)`,
    [JSON.stringify(rows)],
  );
});

test('the same as a look at every row finds', async () => {
  const { rows } = await database.pool.query<{ classes: number }>(
    'SELECT count(DISTINCT span_class)::integer AS classes FROM prompt_v1',
  );
  assert.ok(rows[0]!.classes >= 8, `${rows[0]!.classes} classes`);
  const random = createRandom(SEED + 1);
  let found = 0;
  for (let i = 0; i < 60; i += 1) {
    const from = new Date(Date.parse('2026-03-01T00:00:00Z') + random.between(0, 2_000) * 1_000).toISOString();
    const values = [
      random.between(0, PROMPTS * STEP + 100_000),
      random.chance(0.5) ? null : 'user-1',
      random.chance(0.5) ? null : 'm1',
      random.chance(0.5) ? '-infinity' : from,
      random.chance(0.5) ? 'infinity' : '2026-03-01T00:50:00Z',
    ];
    const positionsOf = async (text: string) =>
      (await database.pool.query<{ submitted_position: number }>(text, values)).rows
        .map((row) => row.submitted_position)
        .sort((a, b) => a - b);
    const expected = await positionsOf(
      `SELECT submitted_position FROM prompt_v1 WHERE submitted_position <= $1 AND position > $1
          AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR model = $3)
          AND submitted_at >= $4::timestamptz AND submitted_at < $5::timestamptz`,
    );
    assert.deepEqual(await positionsOf(UNDER_WAY), expected, JSON.stringify(values));
    found += expected.length;
  }
  assert.ok(found > 2_000, `${found} were found`);
});

test('a prompt that completes soon is updated in place, whatever it was before: no index of it is touched', async () => {
  const client = await database.pool.connect();
  try {
    await client.query(`BEGIN; INSERT INTO prompt_v1 (prompt_id, user_id, status, model, emulated, submitted_at, submitted_position,
      position, state) VALUES (gen_random_uuid(), 'hot', 'queued', 'm', false, now(), 1, 1, '{}')`);
    for (const [status, position] of [
      ['running', 2],
      ['retrying', 900],
      ['completed', 4_000],
    ])
      await client.query("UPDATE prompt_v1 SET status = $1, position = $2 WHERE user_id = 'hot'", [status, position]);
    const { rows } = await client.query<{ updated: number; hot: number }>(
      `SELECT pg_stat_get_xact_tuples_updated(c)::integer AS updated, pg_stat_get_xact_tuples_hot_updated(c)::integer AS hot
         FROM (SELECT 'prompt_v1'::regclass AS c) t`,
    );
    assert.deepEqual(rows, [{ updated: 3, hot: 3 }]);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
});

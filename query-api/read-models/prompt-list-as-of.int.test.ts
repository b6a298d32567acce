/** Pages of a status looking back: the same as one condition over every row finds, with spans of every size. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { BEGIN_BULK_PHASE } from '../../testing/kit/bulk-phase.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createRandom } from '../../testing/kit/random.ts';

const t = cleanup(after);
const PAGE = versionedSql(import.meta.url, '../sql/list-as-of-status.sql')(1);
const COUNT = versionedSql(import.meta.url, '../sql/count-between.sql')(1);
const SEED = 20_261_128;
const PROMPTS = 2_000;
const START = Date.parse('2026-03-01T00:00:00Z');
/** Positions between two submissions. */
const STEP = 7;
const STATUSES = ['completed', 'completed', 'completed', 'failed', 'cancelled', 'running'];
let database: TestDatabase;

before(async () => {
  database = await createTestDatabase(t);
  const random = createRandom(SEED);
  const rows = Array.from({ length: PROMPTS }, (_, n) => ({
    user_id: `user-${n % 3}`,
    model: `m${n % 2}`,
    status: random.pick(STATUSES),
    conversation_id: n % 50 < 5 ? '019aaf00-0000-7000-8000-000000000000' : null,
    // Some of them at one time.
    submitted_at: new Date(START + Math.floor(n / 2) * 60_000).toISOString(),
    submitted_position: n * STEP,
    position: n * STEP + random.between(0, 4 ** random.between(0, 8)),
  }));
  await database.pool.query(BEGIN_BULK_PHASE);
  await database.pool.query(
    `INSERT INTO prompt_v1 (prompt_id, user_id, status, model, conversation_id, emulated, submitted_at, submitted_position, position, state)
     SELECT gen_random_uuid(), user_id, status, model, conversation_id, false, submitted_at, submitted_position, position,
            to_jsonb(submitted_position)
       FROM jsonb_to_recordset($1) AS r(user_id text, status text, model text, conversation_id uuid, submitted_at timestamptz,
                                        submitted_position bigint, position bigint)`,
    [JSON.stringify(rows)],
  );
  await database.pool.query(`
    INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, submitted_at) SELECT prompt_id, user_id, 'p', submitted_at FROM prompt_v1;
    INSERT INTO usage_delta_v1 SELECT date_bin('15 minutes', submitted_at, '1970-01-01'), user_id, model, emulated, 0,
           (status = 'running')::integer, 0, (status = 'completed')::integer, (status = 'failed')::integer,
           (status = 'cancelled')::integer, 0, 1, 1, 1, 1, 1, 1, 1, 0, '{}' FROM prompt_v1;
    SELECT merge_prompts_usage_v3(1), merge_prompts_models_v1(1), index_prompts_v1(1), index_prompt_texts_v1(1)`);
});

const ONE_CONDITION = `SELECT state, position > $9 AS changed FROM prompt_v1
 WHERE ($1::text IS NULL OR user_id = $1) AND (status = $2 OR position > $9) AND ($3::text IS NULL OR model = $3)
   AND ($4::uuid IS NULL OR conversation_id = $4) AND submitted_at >= $5::timestamptz
   AND (submitted_at, prompt_id) < ($6::timestamptz, $7::uuid) AND submitted_position <= $9
 ORDER BY submitted_at DESC, prompt_id DESC LIMIT $8`;

test('those not changed that have it, and all that have changed, newest first', async () => {
  const random = createRandom(SEED + 1);
  let [kept, changed] = [0, 0];
  for (let i = 0; i < 80; i += 1) {
    const time = () => new Date(START + random.between(0, PROMPTS / 2) * 60_000).toISOString();
    const values = [
      random.chance(0.3) ? 'user-1' : null,
      random.pick(STATUSES),
      random.chance(0.3) ? 'm1' : null,
      random.chance(0.2) ? '019aaf00-0000-7000-8000-000000000000' : null,
      random.chance(0.3) ? time() : '-infinity',
      random.chance(0.5) ? 'infinity' : time(),
      random.pick(['00000000-0000-0000-0000-000000000000', '80000000-0000-4000-8000-000000000000']),
      random.pick([1, 20, 201]),
      random.between(0, PROMPTS * STEP + 1_000),
    ];
    type Row = { state: number; changed: boolean };
    const { rows: expected } = await database.pool.query<Row>(ONE_CONDITION, values);
    const { rows } = await database.pool.query<Row>(PAGE, [...values, values[7]]);
    assert.deepEqual(
      rows.map((row) => [row.state, row.changed]),
      expected.map((row) => [row.state, row.changed]),
      JSON.stringify(values),
    );
    kept += rows.filter((row) => !row.changed).length;
    changed += rows.filter((row) => row.changed).length;
  }
  assert.ok(kept > 500 && changed > 500, `${kept} kept, ${changed} changed`);
});

test('no more are looked for than have it now, as the sums of a range tell', async () => {
  for (const user of [null, 'user-2']) {
    for (const status of ['running', 'failed', 'completed', 'expired']) {
      const range = [new Date(START + 900_000).toISOString(), new Date(START + 7_200_000).toISOString()];
      const segments = JSON.stringify([{ level: 0, from: range[0], to: range[1], sign: 1 }]);
      const { rows } = await database.pool.query(COUNT, [user, null, status, segments]);
      const { rows: counted } = await database.pool.query(
        `SELECT count(*) AS prompts FROM prompt_v1 WHERE ($1::text IS NULL OR user_id = $1) AND status = $2
            AND submitted_at >= $3 AND submitted_at < $4`,
        [user, status, ...range],
      );
      assert.deepEqual(rows, counted);
    }
  }
});

/** The end of a bulk phase where many prompts lie in one quarter of an hour: it takes as long as where they are spread. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BEGIN_BULK_PHASE } from '../../testing/kit/bulk-phase.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase } from '../../testing/kit/database.ts';

const t = cleanup(after);
const PROMPTS = 60_000;
/** Where it grew with the square of their number it took half a minute. */
const WITHIN = '10s';

test('sixty thousand prompts of one quarter, of one user or of many, are added up at once', async () => {
  const { pool } = await createTestDatabase(t);
  const client = await pool.connect();
  try {
    await client.query(`${BEGIN_BULK_PHASE}
      INSERT INTO usage_delta_v1
      SELECT '2026-03-01', CASE WHEN n % 2 = 0 THEN 'busy' ELSE 'user-' || n % 5000 END, 'm', false, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1,
             1, 1, 1, 0, ARRAY[4096 + n % 20, 4096 + 1024 + n % 90, 4096 + 2048 + n % 100]
        FROM generate_series(1, ${PROMPTS}) n;
      SET statement_timeout = '${WITHIN}'`);
    for (const part of ['merge_prompts_usage_v3', 'merge_prompts_models_v1']) await client.query(`SELECT ${part}(1)`);
    const { rows } = await client.query<{ what: string; differ: number; n: number }>(`
      WITH codes AS (SELECT user_id, b & 4095 AS code, sum(b >> 12) AS n FROM usage_delta_v1, unnest(bins) b GROUP BY 1, 2),
           users AS (SELECT user_id, b & 4095 AS code, b >> 12 AS n FROM usage_v1, unnest(bins) b WHERE level = 0),
           models AS (SELECT level, b & 4095 AS code, b >> 12 AS n FROM model_usage_v1, unnest(bins) b),
           days AS (SELECT bin AS code, n FROM model_latency_v1 WHERE level = 5)
      SELECT 'users' AS what, (SELECT count(*)::integer FROM (TABLE codes EXCEPT TABLE users) d) AS differ,
             (SELECT sum(n)::integer FROM users) AS n
      UNION ALL
      SELECT 'models', (SELECT count(*)::integer FROM (
               SELECT l, code, sum(n) FROM codes, unnest('{0,1}'::smallint[]) l GROUP BY 1, 2 EXCEPT TABLE models) d),
             (SELECT sum(n)::integer FROM models WHERE level = 0)
      UNION ALL
      SELECT 'days', (SELECT count(*)::integer FROM (SELECT code, sum(n) FROM codes GROUP BY 1 EXCEPT TABLE days) d),
             (SELECT sum(n)::integer FROM days)`);
    assert.deepEqual(
      rows.map(({ what, differ, n }) => [what, differ, n]),
      ['users', 'models', 'days'].map((what) => [what, 0, 3 * PROMPTS]),
    );
  } finally {
    client.release();
  }
});

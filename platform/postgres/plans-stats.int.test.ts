/** Statistics and looks back over 20,000 prompts: rows of the spans asked for, by index; never a whole table. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BEGIN_BULK_PHASE } from '../../testing/kit/bulk-phase.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';

const t = cleanup(after);
const PROMPTS = 20_000;
const ROOT = join(import.meta.dirname, '../..');
const sql = (name: string) =>
  readFileSync(join(ROOT, `query-api/sql/${name}.sql`), 'utf8').replaceAll('{{version}}', '1');
let database: TestDatabase;

type Node = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Loops'?: number;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: Node[];
};
const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
const carriedOut = (plan: Node): Node[] => nodes(plan).filter((node) => node['Actual Loops'] !== 0);
const blocks = (plan: Node): number => (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
/** Of one row, or one of few by nature. */
const SMALL = new Set(['cursor', 'log_head', 'real_use_v1']);
const scanned = (plan: Node): string[] =>
  carriedOut(plan).flatMap((node) => {
    const name = node['Relation Name'] ?? '?';
    return node['Node Type'] === 'Seq Scan' && !SMALL.has(name) ? [name] : [];
  });

/** As it is sent: unnamed, planned for the very values. */
async function run(text: string, values: unknown[], settings = ''): Promise<Node> {
  const client = await database.pool.connect();
  try {
    await client.query(`BEGIN; ${settings}`);
    const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
    return rows[0]['QUERY PLAN'][0].Plan;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

const BASE = Date.parse('2026-03-01T00:00:00Z');
const HOUR = 3_600_000;
const span = (level: number, from: number, hours: number) => ({
  level,
  from: new Date(from).toISOString(),
  to: new Date(from + hours * HOUR).toISOString(),
  sign: 1,
});
const EDGE = JSON.stringify([span(0, BASE + 30 * HOUR, 1), span(2, BASE + 48 * HOUR, 48)]);
const HOURS = JSON.stringify([span(0, BASE + 30 * HOUR + 900_000, 0.75), span(1, BASE + 31 * HOUR, 24)]);
const STARTS = Array.from({ length: 26 }, (_, i) => new Date(BASE + (30 + i) * HOUR).toISOString());
const DELTA = JSON.stringify([
  {
    ...{ bucket: new Date(BASE + 30 * HOUR).toISOString(), user_id: 'user-7', model: 'm1', emulated: false },
    ...{ queued: -1, running: 0, retrying: 0, completed: 0, failed: 0, cancelled: 0, expired: 0 },
    ...{ input_tokens: 0, output_tokens: 0, thought_tokens: 0 },
    ...{ confirmed_nano_usd: 0, wasted_nano_usd: 0, unknown_bound_nano_usd: 0, unknown_attempts: 0 },
  },
]);

before(async () => {
  database = await createTestDatabase(t);
  const at = `'2026-03-01'::timestamptz + n * interval '60 seconds'`;
  await database.pool.query(`
    ${BEGIN_BULK_PHASE}
    INSERT INTO event SELECT n, gen_random_uuid(), 1, gen_random_uuid(), 'PromptSubmitted', 1, '{}', '{}', ${at}
      FROM generate_series(1, ${PROMPTS}) n;
    UPDATE log_head SET position = ${PROMPTS}, recorded_at = now();
    UPDATE cursor SET position = ${PROMPTS}, as_of = now();
    INSERT INTO prompt_v1 SELECT gen_random_uuid(), 'user-' || n % 200, 'completed', 'm' || n % 3, NULL, false, ${at}, n, n + 3,
           repeat('x', 400) FROM generate_series(1, ${PROMPTS}) n;
    INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, submitted_at)
           SELECT prompt_id, user_id, 'the sea', submitted_at FROM prompt_v1;
    INSERT INTO usage_delta_v1 SELECT date_bin('15 minutes', ${at}, '1970-01-01'), 'user-' || n % 200, 'm' || n % 3, false,
           0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, ARRAY[4096 + 2048 + 100 + n % 50] FROM generate_series(1, ${PROMPTS}) n;
    SELECT merge_prompts_usage_v3(1), merge_prompts_models_v1(1), index_prompts_v1(1), index_prompt_texts_v1(1);`);
});

/** As in query-api/read-models/stats-reader.ts, for what is read in one snapshot. */
const SNAPSHOT = 'SET LOCAL enable_seqscan = off';
const cases: [what: string, text: string, values: unknown[], most: number][] = [
  ['models, all', 'models', [null, null, 'default', EDGE, '[]', null], 120],
  ['models with a correction', 'models', [null, null, 'include', EDGE, DELTA, PROMPTS], 160],
  ['models of one user', 'models', ['user-7', null, 'default', EDGE, '[]', null], 60],
  ['a series', 'usage-series', [null, null, 'default', HOURS, '[]', null, STARTS, 'model'], 60],
  [
    'a series of some users',
    'usage-series',
    [['user-7', 'user-8'], null, 'default', EDGE, '[]', null, STARTS, 'user'],
    100,
  ],
  ['how many have a status', 'count-matching', [null, null, 'failed'], 20],
  ['how many have a model', 'count-matching', [null, 'm1', null], 20],
  ['how many of a user and model have a status', 'count-matching', ['user-7', 'm1', 'failed'], 40],
  ['latency, all', 'latency', [null, null, 'default', HOURS, '[]', null], 200],
  ['latency of one user', 'latency', ['user-7', null, 'default', HOURS, '[]', null], 60],
];

describe('statistics', () => {
  for (const [what, name, values, most] of cases) {
    test(`${what}: read by index, ${most} blocks at most`, async () => {
      // Corrections are read in a snapshot only.
      for (const settings of values.includes(DELTA) ? [SNAPSHOT] : ['', SNAPSHOT]) {
        const plan = await run(sql(name), values, settings);
        assert.deepEqual(scanned(plan), []);
        assert.ok(blocks(plan) <= most, `${blocks(plan)} blocks`);
      }
    });
  }
});

describe('looking back to a position', () => {
  const middle = PROMPTS / 2;
  test('finds what was under way there among those submitted just before, whatever the log is', async () => {
    for (const user of [null, 'user-7']) {
      const plan = await run(sql('as-of-changed'), [middle, user, null, '1970-01-01', '2030-01-01'], SNAPSHOT);
      assert.deepEqual(scanned(plan), []);
      const used = nodes(plan).map((node) => node['Index Name']);
      assert.ok(used.includes('prompt_v1_submitted_idx') && used.includes('prompt_v1_long_idx'), `${used}`);
      // Of 4,096 rows as short as these, and a look for each class.
      assert.ok(blocks(plan) < 420, `${blocks(plan)} blocks`);
    }
  });

  test('finds what came later in its quarter of an hour by time', async () => {
    const plan = await run(
      sql('as-of-later'),
      [
        middle,
        null,
        null,
        new Date(BASE + middle * 60_000).toISOString(),
        new Date(BASE + (middle + 15) * 60_000).toISOString(),
      ],
      SNAPSHOT,
    );
    assert.deepEqual(scanned(plan), []);
    assert.ok(blocks(plan) < 60, `${blocks(plan)} blocks`);
  });

  test('finds what came earlier in its quarter of an hour by time', async () => {
    const times = [middle - 7, middle + 1].map((minute) => new Date(BASE + minute * 60_000).toISOString());
    const plan = await run(sql('as-of-earlier'), [middle, null, null, ...times], SNAPSHOT);
    assert.deepEqual(scanned(plan), []);
    assert.ok(blocks(plan) < 30, `${blocks(plan)} blocks`);
  });

  test('finds the position of a time in some look-ups by key', async () => {
    const look = () => run(sql('as-of-point'), [null, '2026-03-05T00:00:00Z']);
    await look(); // what a new connection reads of the catalog is no part of it
    const plan = await look();
    assert.deepEqual(scanned(plan), []);
    assert.ok(blocks(plan) < 80, `${blocks(plan)} blocks`);
  });

  test('reads a page of the history as the list of now does', async () => {
    const time = new Date(BASE + middle * 60_000 + 1).toISOString();
    const values = [null, null, null, null, '-infinity', time, '00000000-0000-0000-0000-000000000000', 51, middle];
    const plan = await run(sql('list-as-of'), values);
    assert.deepEqual(scanned(plan), []);
    assert.ok(blocks(plan) < 400, `${blocks(plan)} blocks`);
  });

  test('what reads every row is noticed by this test', async () => {
    const plan = await run('SELECT count(*) FROM prompt_v1 WHERE status <> $1', ['queued']);
    assert.deepEqual(scanned(plan), ['prompt_v1']);
  });
});

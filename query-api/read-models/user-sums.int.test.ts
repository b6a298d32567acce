/** Lists of users over 20,000 prompts: rows of the spans asked for, by index, and no more of them than need be. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BEGIN_BULK_PHASE } from '../../testing/kit/bulk-phase.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { cheapestSegments } from './segments.ts';
import { usersSql } from './user-sums.ts';

const t = cleanup(after);
const PROMPTS = 20_000;
const BASE = Date.parse('2026-03-01T00:00:00Z');
const HOUR = 3_600_000;
let database: TestDatabase;

type Node = {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Node[];
};
const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
const blocks = (plan: Node): number => plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
const tables = (plan: Node, type: string): string[] =>
  nodes(plan).flatMap((node) => {
    const name = node['Relation Name'] ?? '';
    return node['Node Type'] === type && name.includes('usage') ? [name] : [];
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

before(async () => {
  database = await createTestDatabase(t);
  await database.pool.query(`
    ${BEGIN_BULK_PHASE}
    INSERT INTO usage_delta_v1
    SELECT date_bin('15 minutes', '2026-03-01'::timestamptz + n * interval '60 seconds', '1970-01-01'), 'user-' || n % 200,
           'm' || n % 3, false, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, '{}' FROM generate_series(0, ${PROMPTS - 1}) n;
    SELECT merge_prompts_usage_v3(1)`);
});

/** As in stats-reader.ts, for what is read in one snapshot. */
const SNAPSHOT = 'SET LOCAL enable_seqscan = off';
describe('lists of users', () => {
  const QUARTER = 900_000;
  const DATA = { from: BASE, to: BASE + 14 * 24 * HOUR };
  const segmentsOf = (from: number, to: number) =>
    cheapestSegments({ from: BASE + from * HOUR, to: BASE + to * HOUR }, [0, 2, 3, 4, 5], DATA);
  const edge = segmentsOf(30, 96.25);
  const lists: [what: string, user: string | null, model: string | null, limit: number, most: number][] = [
    ['all', null, null, 10_000, 150],
    ['the first ten', null, null, 10, 150],
    ['of one model', null, 'm1', 10, 250],
    ['one user', 'user-7', null, 10, 60],
  ];
  for (const [what, userId, model, limit, most] of lists) {
    test(`${what}: read by index, ${most} blocks at most`, async () => {
      const text = usersSql(1, edge, { userId, model });
      for (const settings of ['', SNAPSHOT]) {
        const plan = await run(text, [userId, model, 'default', '[]', null, limit], settings);
        assert.deepEqual(tables(plan, 'Seq Scan'), []);
        assert.ok(blocks(plan) <= most, `${blocks(plan)} blocks`);
      }
    });
  }

  test('read no row twice, and none for what is nearly a whole day but the rest of it', async () => {
    const rowsOf = async (from: number, to: number) => {
      const text = usersSql(1, segmentsOf(from, to), { userId: null, model: null });
      const plan = await run(text, [null, null, 'default', '[]', null, 10], SNAPSHOT);
      const read = nodes(plan).filter((node) => node['Relation Name']?.includes('usage'));
      return read.reduce((sum, node) => sum + node['Actual Rows']! * node['Actual Loops']!, 0);
    };
    const day = await rowsOf(24, 48);
    assert.equal(day, 200, 'a day is a row of each user');
    // A prompt a minute, each of another user: fifteen rows a quarter.
    assert.equal(await rowsOf(24, 47.5), day + (2 * 15 * HOUR) / 4 / QUARTER);
    assert.equal(await rowsOf(24, 25), 60);
  });
});

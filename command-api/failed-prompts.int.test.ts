/** The look-up of a bulk redrive among 20,000 prompts: by index for a user, a conversation or a range of time. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cleanup } from '../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../testing/kit/database.ts';
import { type FailedFilter, findFailed } from './failed-prompts.ts';

const t = cleanup(after);
const TEXT = readFileSync(join(import.meta.dirname, 'sql/failed-prompts.sql'), 'utf8').replaceAll('{{version}}', '1');
const CONVERSATION = '019aaf00-0000-7000-8000-0000000000aa';
const NOW = new Date('2026-06-01T00:00:00Z');
const anything: FailedFilter = { userId: null, model: null, code: null, conversationId: null, from: null, to: null };
let database: TestDatabase;

before(async () => {
  database = await createTestDatabase(t);
  // One in a hundred has failed, one in ten of these has expired; 1,000 prompts wait in the outbox.
  await database.pool.query(`
    INSERT INTO prompt_v1
    SELECT gen_random_uuid(), 'user-' || n % 50, CASE WHEN n % 100 < 99 THEN 'completed' ELSE 'failed' END, 'm',
           CASE WHEN n % 500 = 99 THEN '${CONVERSATION}'::uuid ELSE gen_random_uuid() END, true,
           '2026-01-01'::timestamptz + make_interval(mins => n), n, n,
           '[3,"normal","auto",0,null,' || CASE WHEN n % 1000 = 99 THEN '"2026-02-01T00:00:00.000Z"' ELSE 'null' END
             || ',{},null,null,null,null,null,0,' || CASE WHEN n % 100 = 99 THEN '["blocked",""]' ELSE 'null' END || ',[]]'
      FROM generate_series(0, 19999) n;
    INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at)
    SELECT gen_random_uuid(), 'user-1', 'm', 1, now(), now() FROM generate_series(1, 1000);
    ANALYZE;`);
});

type Node = { 'Node Type': string; 'Relation Name'?: string; 'Index Name'?: string; Plans?: Node[] };
const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];

const RANGE = { from: '2026-01-05T00:00:00Z', to: '2026-01-06T00:00:00Z' };
const cases: [what: string, filter: Partial<FailedFilter>, index: string][] = [
  ['one user', { userId: 'user-49' }, 'prompt_v1_user_idx'],
  ['one user and code', { userId: 'user-49', code: 'blocked' }, 'prompt_v1_user_idx'],
  ['a conversation', { conversationId: CONVERSATION }, 'prompt_v1_conversation_idx'],
  ['a day of everybody', RANGE, 'prompt_v1_time_idx'],
];
for (const [what, filter, index] of cases) {
  test(`of ${what} it comes by ${index}`, async () => {
    const { userId, model, code, conversationId, from, to } = { ...anything, ...filter };
    const { rows } = await database.pool.query<{ 'QUERY PLAN': { Plan: Node }[] }>(`EXPLAIN (FORMAT JSON) ${TEXT}`, [
      ...[userId, model, code, conversationId, from ?? '-infinity', to ?? 'infinity'],
      ...[NOW.toISOString(), false, 1_001],
    ]);
    const plan = nodes(rows[0]!['QUERY PLAN'][0]!.Plan);
    assert.ok(
      plan.some((node) => node['Index Name'] === index),
      JSON.stringify(plan),
    );
    const read = plan.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name']);
    assert.ok(!read.includes('prompt_v1'), JSON.stringify(read));
  });
}

test('it tells the expired apart, which come last and only where there is room', async () => {
  const all = await findFailed(database.pool, anything, 1_000, NOW);
  assert.deepEqual([all.open.length, all.expired.length, all.more], [180, 20, false]);
  const counts = async (limit: number, filter: Partial<FailedFilter> = {}) => {
    const { open, expired, more } = await findFailed(database.pool, { ...anything, ...filter }, limit, NOW);
    return [open.length, expired.length, more];
  };
  assert.deepEqual(await counts(185), [180, 5, false]);
  assert.deepEqual(await counts(180), [180, 0, false]);
  assert.deepEqual(await counts(179), [179, 0, true]);
  assert.deepEqual(await counts(1_000, { code: 'max_tokens' }), [0, 0, false]);
  assert.deepEqual(await counts(1_000, { conversationId: CONVERSATION }), [20, 20, false]);
});

test('while no version of the read model is live it says so', async () => {
  await database.pool.query('DELETE FROM projection');
  await assert.rejects(findFailed(database.pool, anything, 1, NOW), { code: 'no_live_model' });
});

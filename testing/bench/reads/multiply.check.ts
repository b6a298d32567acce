/** What the benchmark of reads loads is what the product would have made of that log. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../kit/database.ts';
import { checkMultiplied, makeBase } from './base.ts';
import { multiply } from './multiply.ts';

const t = cleanup(after);
const COPIES = 3;
const BASE = { users: 4, prompts: 400 };
const good = { differing: [], sums: 0, ledgerIsPosted: true };
let database: TestDatabase;
let indexes: unknown[];

const query = async (text: string) => (await database.pool.query(text)).rows;
const INDEXES = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`;

before(async () => {
  database = await createTestDatabase(t);
  await makeBase({ uri: database.uri, ...BASE, days: 10 });
  indexes = await query(INDEXES);
});

describe('a log multiplied with its read models and its ledger', () => {
  test('equals what a rebuild and a posting make of it, byte for byte', async () => {
    const events = (await query('SELECT position FROM log_head'))[0].position * COPIES;
    assert.equal(await multiply({ uri: database.uri, copies: COPIES, ...BASE, tell: () => {} }), events);
    const [counted] = await query(
      `SELECT count(*)::integer AS events, count(DISTINCT stream_id)::integer AS prompts,
              count(DISTINCT data ->> 'userId')::integer AS users, max(position)::integer AS last FROM event`,
    );
    assert.deepEqual(counted, {
      events,
      prompts: BASE.prompts * COPIES,
      users: BASE.users * COPIES,
      last: events,
    });
    assert.deepEqual(await checkMultiplied(database.uri), good);
  });

  test('has times that do not sink along positions, and the indexes that there were', async () => {
    const [sinking] = await query(
      `SELECT count(*)::integer AS n FROM event a JOIN event b ON b.position = a.position + 1 AND b.recorded_at < a.recorded_at`,
    );
    assert.equal(sinking.n, 0);
    assert.deepEqual(await query(INDEXES), indexes);
  });

  test('a sum, a prompt or an entry that is another one is noticed', async () => {
    const version = (await query('SELECT live_version AS v FROM projection'))[0].v;
    await query(`UPDATE model_usage_v${version} SET completed = completed + 1 WHERE level = 5`);
    await query(`UPDATE prompt_v${version} SET position = position + 1 WHERE submitted_position = 1`);
    await query('UPDATE ledger_entry SET bound_nano_usd = 7 WHERE bound_nano_usd IS NOT NULL');
    const found = await checkMultiplied(database.uri);
    assert.deepEqual(found.differing.toSorted(), ['model_usage', 'prompt']);
    assert.ok(found.sums > 0);
    assert.equal(found.ledgerIsPosted, false);
  });
});

/** The plans of the statements that run for every prompt: by index on an empty database, and with 20,000 prompts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';

const t = cleanup(after);
const ROOT = join(import.meta.dirname, '../..');
const sql = (path: string) => readFileSync(join(ROOT, path), 'utf8');

let database: TestDatabase;
before(async () => {
  database = await createTestDatabase(t);
});

/** Statements as services send them, with parameters of the kind they have. */
const UUID = '019aaf00-0000-7000-8000-000000000000';
const statements: [name: string, text: string, values: unknown[]][] = [
  ['read-all', sql('platform/postgres/sql/read-all.sql'), [0, 1_000_000, 500]],
  ['read-placed', sql('platform/postgres/sql/read-placed.sql'), [0, 1_000_000, 500]],
  ['read-streams', sql('platform/postgres/sql/read-streams.sql'), [[UUID]]],
  ['read-user', sql('platform/postgres/sql/read-user.sql'), ['user-1', 10, 1_000_000, 100]],
  ['dead-leases', sql('command-api/relay/sql/dead-leases.sql'), [200]],
  ['overdue', sql('command-api/relay/sql/overdue.sql'), [200]],
  ['unclaimed', sql('command-api/relay/sql/unclaimed.sql'), [2, 1_000]],
];

/** Tables of which a plan reads every row. */
async function scanned(text: string, values: unknown[]): Promise<string[]> {
  const client = await database.pool.connect();
  try {
    // As the server plans it for a prepared statement once it stops looking at the parameters.
    await client.query("SET plan_cache_mode = 'force_generic_plan'");
    // The leading relay's connection does so; the others' statements do not need it.
    if (/\boutbox\b/.test(text)) await client.query('SET enable_seqscan = off');
    await client.query(`PREPARE hot AS ${text}`);
    const list = values.map((value) => (Array.isArray(value) ? `'{${value.join(',')}}'` : `'${value}'`)).join(', ');
    const { rows } = await client.query<{ 'QUERY PLAN': Plan[] }>(`EXPLAIN (FORMAT JSON) EXECUTE hot (${list})`);
    return scans(rows[0]!['QUERY PLAN'][0]!.Plan);
  } finally {
    await client.query('DEALLOCATE ALL; RESET plan_cache_mode; RESET enable_seqscan');
    client.release();
  }
}

type Node = { 'Node Type': string; 'Relation Name'?: string; Plans?: Node[] };
type Plan = { Plan: Node };
const scans = (node: Node): string[] => [
  ...(node['Node Type'] === 'Seq Scan' ? [node['Relation Name'] ?? '?'] : []),
  ...(node.Plans ?? []).flatMap(scans),
];

/** Blocks of the outbox's heap that `work` makes this connection read. */
async function blocksRead(client: pg.PoolClient, work: string): Promise<number> {
  const read = async () =>
    (await client.query<{ n: number }>("SELECT pg_stat_get_xact_blocks_fetched('outbox'::regclass)::integer AS n"))
      .rows[0]!.n;
  await client.query('BEGIN');
  const before = await read();
  await client.query(work);
  const after = await read();
  await client.query('ROLLBACK');
  return after - before;
}

describe('on a fresh database', () => {
  for (const [name, text, values] of statements) {
    test(`${name} reads by index`, async () => {
      assert.deepEqual(await scanned(text, values), []);
    });
  }
});

describe('on a loaded database', () => {
  /** Has called the relay's functions often enough, on empty tables, to keep their plans. */
  let early: pg.PoolClient;
  const stamp = "SELECT * FROM stamp_ready_v1(1::smallint, 'm', 'user-1', 20, 1)";
  before(async () => {
    early = await database.pool.connect();
    for (let i = 0; i < 10; i += 1) await early.query(`${stamp}; SELECT * FROM ready_lanes_v1()`);
    await database.pool.query(`
      INSERT INTO event SELECT n, gen_random_uuid(), 1, gen_random_uuid(), 'PromptSubmitted', 1,
             jsonb_build_object('userId', 'user-' || n % 50, 'model', 'm', 'prompt', repeat('x', 100)),
             '{}'::jsonb, now() FROM generate_series(1, 20000) n;
      INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at)
      SELECT stream_id, data ->> 'userId', 'm', 1, now(), now() FROM event;
    `);
  });
  after(() => early.release(true));

  test('the relay touches what it takes, however long the backlog and however old its plans', async () => {
    const stamping = await blocksRead(early, stamp);
    const looking = await blocksRead(early, 'SELECT * FROM ready_lanes_v1()');
    const all = await blocksRead(early, 'SELECT count(opened_at) FROM outbox');
    assert.ok(all > 300, `the whole outbox has ${all}`);
    assert.ok(stamping > 20 && stamping < 200, `${stamping} for 20 rows`);
    assert.ok(looking < 20, `${looking} to find the lanes`);
  });

  test('statistics gathered, all of the statements read by index', async () => {
    await database.pool.query('ANALYZE event, outbox');
    await database.pool.query(`
      UPDATE outbox SET dispatch = nextval('dispatch_number'), dispatched_at = now() - interval '1 minute'
       WHERE prompt_id IN (SELECT prompt_id FROM outbox LIMIT 50)`);
    for (const [name, text, values] of statements) assert.deepEqual(await scanned(text, values), [], name);
  });

  test('what reads every row is noticed by this test', async () => {
    assert.deepEqual(await scanned('SELECT * FROM outbox WHERE opened_at > $1::timestamptz', ['2026-01-01']), [
      'outbox',
    ]);
  });

  test('heartbeats touch no index, and find room on their page', async () => {
    const { pool } = database;
    const row = async (id: string) =>
      (await pool.query('SELECT to_jsonb(o) AS o FROM outbox o WHERE prompt_id = $1', [id])).rows[0].o;
    const { rows } = await pool.query<{ prompt_id: string }>(
      `UPDATE outbox SET token = prompt_id, lease_until = now(), lease_seconds = 30
        WHERE prompt_id = (SELECT prompt_id FROM outbox WHERE dispatch IS NOT NULL LIMIT 1) RETURNING prompt_id`,
    );
    const id = rows[0]!.prompt_id;
    const before = await row(id);
    await pool.query('SELECT * FROM renew_leases_v1($1, $1, 60)', [[id]]);
    const after = await row(id);
    const changed = Object.keys(after).filter((column) => after[column] !== before[column]);
    assert.ok(changed.includes('lease_until'));
    const { rows: indexes } = await pool.query<{ definition: string }>(
      "SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indrelid = 'outbox'::regclass",
    );
    assert.ok(indexes.length > 1);
    for (const { definition } of indexes) {
      for (const column of changed) assert.doesNotMatch(definition, new RegExp(`\\b${column}\\b`));
    }
    const { rows: table } = await pool.query("SELECT reloptions FROM pg_class WHERE oid = 'outbox'::regclass");
    assert.match(String(table[0].reloptions), /fillfactor=[1-8]\d\b/);
  });
});

/** What pages, feed, projector and appends read of a log of 20,000 prompts: what they ask for, never a whole table. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { newId } from '../ids.ts';
import { encodeAppend } from './append.ts';

const t = cleanup(after);
const PROMPTS = 20_000;
const ROOT = join(import.meta.dirname, '../..');
const sql = (path: string) => readFileSync(join(ROOT, path), 'utf8').replace(/\{\{version\}\}|:v:/g, '1');
const LIST = sql('query-api/sql/list.sql');

let database: TestDatabase;
/** Has run the statements while the tables were empty, and keeps their plans. */
let early: pg.PoolClient;
let known: { prompt_id: string; submitted_at: string; conversation_id: string };

type Node = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: Node[];
};
type Explained = { 'QUERY PLAN': { Plan: Node }[] };
const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
const scanned = (plan: Node): string[] =>
  nodes(plan).flatMap((node) => (node['Node Type'] === 'Seq Scan' ? [node['Relation Name'] ?? '?'] : []));
const indexes = (plan: Node): string[] => nodes(plan).flatMap((node) => node['Index Name'] ?? []);
const blocks = (plan: Node): number => (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);

/** As an unnamed statement is planned: for the very values. It is carried out. */
async function run(text: string, values: unknown[]): Promise<Node> {
  const { rows } = await database.pool.query<Explained>(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
  return rows[0]!['QUERY PLAN'][0]!.Plan;
}

/** As a named statement is planned once the server keeps its plan: for any values. */
async function generic(text: string, values: unknown[], settings: string): Promise<Node> {
  const client = await database.pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL plan_cache_mode = 'force_generic_plan'; ${settings}`);
    await client.query(`PREPARE hot AS ${text}`);
    const literals = values.map((value) => (Array.isArray(value) ? `'{${value.join(',')}}'` : `'${value}'`));
    const { rows } = await client.query<Explained>(`EXPLAIN (FORMAT JSON) EXECUTE hot (${literals.join(', ')})`);
    return rows[0]!['QUERY PLAN'][0]!.Plan;
  } finally {
    await client.query('ROLLBACK; DEALLOCATE ALL');
    client.release();
  }
}

type Filter = { user?: string; conversation?: string; after?: [time: string, id: string] };
const list = ({ user, conversation, after: key }: Filter) =>
  run(LIST, [
    user ?? null,
    null,
    null,
    conversation ?? null,
    '-infinity',
    key?.[0] ?? 'infinity',
    key?.[1] ?? 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    21,
  ]);

const UUID = '019aaf00-0000-7000-8000-000000000000';
// As in projector/projection-store.ts, which forbids sequential scans inside its transaction and not for what it loads.
const WRITES = 'SET LOCAL enable_seqscan = off';
const key = JSON.stringify([{ bucket: '2026-01-01T00:00:00Z', user_id: 'user-1', model: 'm', emulated: true }]);
const named: [name: string, text: string, values: unknown[], settings: string][] = [
  ['feed-all', sql('query-api/sql/feed-all.sql'), [0, 1_000_000, 500], ''],
  ['prompt', sql('query-api/sql/prompt.sql'), [UUID], ''],
  ['load-states', sql('projector/projections/prompts/sql/load-states.sql'), [[UUID]], ''],
  ['write-batch', sql('projector/projections/prompts/sql/write-batch.sql'), ['[]', '[]', '[]', '[]', 1], WRITES],
  ['delete-empty', sql('projector/projections/prompts/sql/delete-empty.sql'), [key], WRITES],
];
/** Sent for many prompts at a time, unnamed: planned each time, since a kept plan read the whole table. */
const gathered: [name: string, text: string, table: string][] = [
  ['dispatches', sql('worker/sql/dispatches.sql'), 'outbox'],
  ['prompts-by-id', sql('query-api/sql/prompts-by-id.sql'), 'prompt_text_v1'],
];
const ask = (text: string, ids: string[]) => early.query({ text, values: [ids] });

/** Tables that stay small by their nature. */
const SMALL = new Set(['cursor', 'log_head', 'parked_stream']);
const large = (plan: Node): string[] => scanned(plan).filter((table) => !SMALL.has(table));

before(async () => {
  database = await createTestDatabase(t);
  early = await database.pool.connect();
  t.after(async () => early.release(true));
});

describe('on a fresh database', () => {
  for (const [name, text, values, settings] of named) {
    test(`${name} reads by index`, async () => {
      assert.deepEqual(large(await generic(text, values, settings)), []);
    });
  }
});

/** Blocks of `table`, and of its indexes, that `work` makes the connection with the old plans read. */
async function blocksOf(table: string, work: () => Promise<unknown>): Promise<number> {
  const read = async (): Promise<number> => {
    const { rows } = await early.query<{ n: number }>(
      `SELECT sum(pg_stat_get_xact_blocks_fetched(c))::integer AS n
         FROM (SELECT $1::regclass AS c UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = $1::regclass) s`,
      [table],
    );
    return rows[0]!.n;
  };
  await early.query('BEGIN');
  const start = await read();
  await work();
  const end = await read();
  await early.query('ROLLBACK');
  return end - start;
}
const appendOne = () => {
  const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
  const events = [{ eventId: newId(), type: 'PromptSubmitted' as const, data: submission, metadata }];
  const outbox = { op: 'open', user: 'ada', model: 'm', lane: 1 } as const;
  return early.query('SELECT * FROM append_events_v3($1::jsonb)', [
    `[${encodeAppend({ streamId: newId(), expectedVersion: 0, events, outbox })}]`,
  ]);
};
const drop = (promptId: string) =>
  early.query('SELECT status FROM append_events_v3($1::jsonb)', [
    JSON.stringify([{ s: promptId, v: null, e: [], o: { op: 'drop' } }]),
  ]);
const renew = (promptId: string) => early.query('SELECT * FROM renew_leases_v1($1, $1, 30)', [[promptId]]);

describe('on a loaded database', () => {
  before(async () => {
    for (let i = 0; i < 10; i += 1) {
      for (const work of [appendOne, () => drop(UUID), () => renew(UUID)]) await blocksOf('event', work);
    }
    await database.pool.query(`
      INSERT INTO event SELECT n, gen_random_uuid(), 1, gen_random_uuid(), 'PromptSubmitted', 1,
             jsonb_build_object('userId', 'user-' || CASE WHEN n % 2 = 0 THEN 0 ELSE n % 50 END, 'prompt', repeat('x', 100)),
             '{}'::jsonb, now() FROM generate_series(1, ${PROMPTS}) n;
      UPDATE log_head SET position = ${PROMPTS};
      INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at, token, lease_until, lease_seconds)
      SELECT stream_id, data ->> 'userId', 'm', 1, now(), now(), stream_id, now(), 30 FROM event;
      INSERT INTO prompt_v1
      SELECT stream_id, data ->> 'userId', 'completed', 'm', gen_random_uuid(), true,
             '2026-01-01'::timestamptz + make_interval(secs => position), position, position, '{}' FROM event;
      INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, submitted_at)
      SELECT stream_id, data ->> 'userId', CASE WHEN position % 4000 = 0 THEN 'a rare albatross' ELSE 'the sea' END,
             '2026-01-01'::timestamptz + make_interval(secs => position) FROM event;`);
  });

  test('an append, a settled row and a heartbeat touch what they change, however old their plans', async () => {
    const { rows } = await early.query<{ prompt_id: string }>('SELECT prompt_id FROM outbox ORDER BY 1 LIMIT 1');
    const { prompt_id: id } = rows[0]!;
    const counts = {
      appendEvent: await blocksOf('event', appendOne),
      appendOutbox: await blocksOf('outbox', appendOne),
      drop: await blocksOf('outbox', () => drop(id)),
      renew: await blocksOf('outbox', () => renew(id)),
    };
    assert.ok((await blocksOf('event', () => early.query('SELECT count(data) FROM event'))) > 400, 'the log is large');
    assert.ok(
      (await blocksOf('outbox', () => early.query('SELECT count(model) FROM outbox'))) > 300,
      'the outbox is large',
    );
    for (const [what, n] of Object.entries(counts))
      assert.ok(n > 0 && n < 60, `${what}: ${n} in ${JSON.stringify(counts)}`);
  });

  for (const [name, text, table] of gathered) {
    test(`${name} for five prompts touches these, whatever is known of the tables`, async () => {
      const { rows } = await early.query<{ prompt_id: string }>('SELECT prompt_id FROM prompt_v1 ORDER BY 1 LIMIT 5');
      const ids = rows.map((row) => row.prompt_id);
      const n = await blocksOf(table, async () => assert.equal((await ask(text, ids)).rowCount, 5));
      assert.ok(n > 0 && n < 60, `${n} blocks of ${table}`);
    });
  }

  test('statistics gathered, what runs by name reads by index', async () => {
    await database.pool.query('ANALYZE');
    for (const [name, text, values, settings] of named) {
      assert.deepEqual(large(await generic(text, values, settings)), [], name);
    }
  });

  describe('a page of the list', () => {
    before(async () => {
      await database.pool.query('ANALYZE');
      const { rows } = await database.pool.query(`SELECT * FROM prompt_v1 WHERE position = ${PROMPTS / 2}`);
      known = rows[0];
    });
    const expected: [what: string, filter: () => Filter, index: string][] = [
      ['of one user', () => ({ user: 'user-7' }), 'prompt_v1_user_idx'],
      ['of everybody', () => ({}), 'prompt_v1_time_idx'],
      ['of a conversation', () => ({ conversation: known.conversation_id }), 'prompt_v1_conversation_idx'],
    ];
    for (const [what, filter, index] of expected) {
      test(`${what} comes by ${index}`, async () => {
        const plan = await list(filter());
        assert.deepEqual(scanned(plan), []);
        assert.ok(indexes(plan).includes(index), JSON.stringify(indexes(plan)));
      });
    }

    for (const [what, filter] of [
      ['everybody', {}],
      ['one busy user', { user: 'user-0' }],
    ] as const) {
      test(`of ${what} costs the same at any depth`, async () => {
        const first = blocks(await list(filter));
        const deep = blocks(await list({ ...filter, after: [known.submitted_at, known.prompt_id] }));
        assert.ok(first > 0 && first < 300, `${first} blocks for the first page`);
        assert.ok(deep <= first + 10, `${deep} blocks in the middle, ${first} at the start`);
      });
    }
  });

  const feed: [name: string, values: () => unknown[]][] = [
    ['feed-user', () => [PROMPTS / 2, PROMPTS, 20, 'user-7']],
    ['feed-prompt', () => [0, PROMPTS, 20, known.prompt_id]],
    ['feed-user-behind', () => [PROMPTS / 2, PROMPTS, 10, 'user-7']],
    ['prompt-owner', () => [known.prompt_id]],
  ];
  for (const [name, values] of feed) {
    test(`${name} touches what it tells`, async () => {
      const plan = await run(sql(`query-api/sql/${name}.sql`), values());
      assert.deepEqual(large(plan), []);
      assert.ok(blocks(plan) < 60, `${blocks(plan)} blocks`);
    });
  }

  test('what reads every row is noticed by this test', async () => {
    assert.deepEqual(scanned(await run('SELECT * FROM event WHERE recorded_at < $1', ['2026-01-01'])), ['event']);
  });
});

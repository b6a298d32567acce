/** What dashboards read, against every prompt folded and added up by hand; and what their login may not read. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { APPEND_FUNCTION } from '../../platform/postgres/append.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { projectBatch } from '../../projector/project-batch.ts';
import { createProjectionStore } from '../../projector/projection-store.ts';
import { byUser, type Filter, latenciesOf, promptsAt, type Seen, spendOf } from '../kit/brute-sums.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { createRandom } from '../kit/random.ts';
import { randomLog, writeLog } from '../kit/random-log.ts';

const t = cleanup(after);
const DAY = 86_400_000;
const QUARTER = 900_000;
const END = Date.parse('2026-06-01T00:00:00Z');
const START = END - 40 * DAY;
const LOGIN = `dashboards_${process.pid}`;

let log: RecordedEvent[];
let database: TestDatabase;
/** Logged in as a dashboard. */
let reader: pg.Pool;

before(async () => {
  database = await createTestDatabase(t);
  log = randomLog({ seed: 14, prompts: 300, users: 12, from: START, to: END });
  await writeLog(database, log);
  const pool = createPool({ uri: database.uri, name: 'dashboards-test', max: 2, onError: () => {} });
  const store = createProjectionStore(pool, 1);
  while ((await projectBatch({ store, batchSize: 1_000, onPoison: 'park' })).status === 'moved');
  await pool.end();
  await database.pool.query(`CREATE ROLE ${LOGIN} LOGIN PASSWORD 'p' IN ROLE prompt_dashboards`);
  t.after(async () => void (await database.pool.query(`DROP ROLE ${LOGIN}`)));
  const uri = new URL(database.uri);
  uri.username = LOGIN;
  uri.password = 'p';
  reader = new pg.Pool({ connectionString: uri.href, max: 2, options: '-c timezone=America/New_York' });
  t.after(() => reader.end());
});

type Asked = { from: number; to: number; emulated: 'default' | 'only' | 'include' };

const questions: Asked[] = (['default', 'only', 'include'] as const).flatMap((emulated, i) => {
  const random = createRandom(i);
  return Array.from({ length: 6 }, () => {
    const [from = 0, to = 0] = [random.between(START - DAY, END), random.between(START, END + DAY)].sort(
      (a, b) => a - b,
    );
    return { from, to, emulated };
  });
});

/** Of the prompts in the quarters of an hour that the range touches. */
function promptsOf({ from, to, emulated }: Asked) {
  const filter: Filter = { from, to: Math.ceil(to / QUARTER) * QUARTER };
  return promptsAt(log, log.length, emulated === 'default' ? filter : { ...filter, emulated });
}

async function ask(call: string, { from, to, emulated }: Asked, columns = '*'): Promise<Record<string, string>[]> {
  const values = [new Date(from).toISOString(), new Date(to).toISOString(), emulated];
  return (await reader.query(`SELECT ${columns} FROM dashboard.${call}`, values)).rows;
}

const numbers = (row: Record<string, unknown>, names: string[]) => names.map((name) => Number(row[name]));
const COUNTS = ['prompts', 'completed', 'failed'];
const TOKENS = ['input_tokens', 'output_tokens', 'thought_tokens'];
const COSTS = ['confirmed_usd', 'wasted_usd', 'unknown_bound_usd'];
const usersOf = (seen: Seen[]) => new Set(seen.filter(({ counted }) => counted).map(({ userId }) => userId)).size;
const usd = (nanoUsd: number) => Number((nanoUsd / 1e9).toFixed(9));
const figures = (spend: ReturnType<typeof spendOf>) => [
  spend.prompts,
  spend.completed,
  spend.failed,
  spend.inputTokens,
  spend.outputTokens,
  spend.thoughtTokens,
  usd(spend.confirmed),
  usd(spend.wasted),
  usd(spend.unknownBound),
];

describe('the sums of dashboards', () => {
  test('cover a range by spans that do not overlap', async () => {
    for (const { from, to } of questions) {
      const { rows } = await database.pool.query<{ since: Date | string; til: Date | string }>(
        `SELECT * FROM dashboard.spans_v1($1, $2, '{4,3,2,1,0}') ORDER BY since`,
        [new Date(from).toISOString(), new Date(to).toISOString()],
      );
      const edges = rows.map(({ since, til }) => [new Date(since).getTime(), new Date(til).getTime()] as const);
      assert.equal(edges[0]?.[0], Math.floor(from / QUARTER) * QUARTER);
      assert.equal(edges.at(-1)?.[1], Math.ceil(to / QUARTER) * QUARTER);
      for (const [i, [since]] of edges.entries()) if (i > 0) assert.equal(since, edges[i - 1]?.[1]);
      assert.ok(rows.length <= 9, String(rows.length));
    }
  });

  test('are of each user, those who spent most first', async () => {
    for (const question of questions) {
      const rows = await ask('users_v1($1, $2, $3, 5)', question);
      assert.deepEqual(
        rows.map((row) => [row['user_id'], ...numbers(row, [...COUNTS, ...TOKENS, ...COSTS])]),
        byUser(promptsOf(question))
          .slice(0, 5)
          .map((row) => [row.userId, ...figures(row)]),
      );
    }
  });

  test('are of each model, with its share and its users, and of all together', async () => {
    for (const question of questions) {
      const prompts = promptsOf(question);
      const rows = await ask('models_v1($1, $2, $3)', question);
      const expected = [...Map.groupBy(prompts, ({ model }) => model)].map(([model, of]) => [
        model,
        ...figures(spendOf(of)),
        usersOf(of),
        (spendOf(of).prompts / (spendOf(prompts).prompts || 1)).toFixed(6),
      ]);
      const found = rows.map((row) => [
        row['model'],
        ...numbers(row, [...COUNTS, ...TOKENS, ...COSTS, 'users']),
        Number(row['share']).toFixed(6),
      ]);
      const byName = (a: unknown[], b: unknown[]) => (String(a[0]) < String(b[0]) ? -1 : 1);
      assert.deepEqual(found.toSorted(byName), expected.toSorted(byName));
      const [total] = await ask('totals_v1($1, $2, $3)', question);
      const all = figures(spendOf(prompts));
      assert.deepEqual(numbers(total!, [...COUNTS, ...COSTS]), [...all.slice(0, 3), ...all.slice(6)]);
      assert.equal(Number(total!['users']), usersOf(prompts));
    }
  });

  test('over time add up by hours, and by days in a long range', async () => {
    const whole = { from: END - 6 * DAY, to: END, emulated: 'include' } as const;
    for (const [question, step] of [
      [whole, DAY / 24],
      [{ ...whole, from: START }, DAY],
    ] as const) {
      const columns = 'extract(epoch FROM "time") * 1000 AS at, prompts, confirmed_usd';
      const rows = await ask('usage_v1($1, $2, $3)', question, columns);
      assert.ok(rows.every((row) => Number(row['at']) % step === 0));
      const prompts = promptsOf(question);
      assert.equal(
        rows.reduce((sum, row) => sum + Number(row['prompts']), 0),
        prompts.length,
      );
      const spent = rows.reduce((sum, row) => sum + Number(row['confirmed_usd']), 0);
      assert.ok(Math.abs(spent - usd(spendOf(prompts).confirmed)) < 1e-12);
    }
  });

  test('have percentiles within the width of a bin', async () => {
    const question = { from: START, to: END, emulated: 'include' } as const;
    const sorted = latenciesOf(promptsOf(question));
    const rows = await ask('latency_v1($1, $2, $3)', question);
    assert.deepEqual(
      rows.map((row) => row['measure']),
      ['model_time', 'queue_wait', 'total'],
    );
    for (const row of rows) {
      const samples = sorted[row['measure'] as keyof typeof sorted];
      assert.equal(Number(row['samples']), samples.length);
      for (const [name, share] of [
        ['p50', 0.5],
        ['p95', 0.95],
        ['p99', 0.99],
      ] as const) {
        const exact = samples[Math.ceil(share * samples.length) - 1]! / 1000;
        assert.ok(Math.abs(Number(row[name]) - exact) <= 0.026 * exact + 0.001, `${row['measure']} ${name}`);
      }
    }
  });

  test('refuse a word for emulated prompts that is none', async () => {
    const wrong = { from: START, to: END, emulated: 'all' as 'only' };
    await assert.rejects(ask('models_v1($1, $2, $3)', wrong), { code: '22023' });
  });
});

test('the login of dashboards reads no event, no prompt and no key, and writes nothing', async () => {
  const { rows } = await database.pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname IN ('public', 'dashboard') AND relkind IN ('r', 'p', 'v')`,
  );
  assert.ok(rows.length > 20);
  for (const { name } of rows) await assert.rejects(reader.query(`SELECT * FROM ${name}`), { code: '42501' }, name);
  await assert.rejects(reader.query('CREATE TABLE t ()'), { code: '42501' });
  await assert.rejects(reader.query(`SELECT ${APPEND_FUNCTION}('[]')`), { code: '42501' });
});

/** Pages of entries of one state, and of a model, among 20,000: no more are read than are shown. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { type LedgerFilter, readLedger } from './ledger.ts';

const t = cleanup(after);
const ENTRIES = 20_000;
const anything: LedgerFilter = { userId: null, model: null, state: null, promptId: null, from: null, to: null };
let database: TestDatabase;

/** Of the oldest hundred every tenth was wasted; three in the middle run still; all others are confirmed. */
before(async () => {
  database = await createTestDatabase(t);
  const [wasted, runs] = [`n <= 100 AND n % 10 = 0`, `n BETWEEN ${ENTRIES / 2} AND ${ENTRIES / 2 + 2}`];
  await database.pool.query(`
    INSERT INTO ledger_entry (prompt_id, attempt, user_id, model, answered, emulated, nano_usd, bound_nano_usd, corrected,
                              reserved_position, reserved_at, settled_position, settled_at)
    SELECT gen_random_uuid(), 1, 'user-' || n % 20, 'm' || n % 3, NOT (${wasted} OR ${runs}), false,
           CASE WHEN ${runs} THEN NULL ELSE 7 END, CASE WHEN ${runs} THEN 9 END, false, n, '2026-03-01'::timestamptz + n * interval '1 minute',
           CASE WHEN ${runs} THEN NULL ELSE n END, CASE WHEN ${runs} THEN NULL ELSE '2026-04-01'::timestamptz END
      FROM generate_series(1, ${ENTRIES}) n;
    INSERT INTO ledger_account (user_id, model, prompts, reserved_nano_usd, confirmed_nano_usd, wasted_nano_usd,
                                unknown_bound_nano_usd)
    SELECT 'user-' || u, 'm' || m, 1, 0, 0, 0, 0
      FROM generate_series(0, 19) u, generate_series(0, 2) m;
    UPDATE ledger_head SET position = ${ENTRIES};
    ANALYZE ledger_entry, ledger_account`);
});

/** What `work` gives, and how many blocks of entries and of their indexes it read. */
async function counting<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<{ found: T; blocks: number }> {
  const client = await database.pool.connect();
  const fetched = async (): Promise<number> => {
    const { rows } = await client.query<{ n: number }>(
      `SELECT sum(pg_stat_get_xact_blocks_fetched(c))::integer AS n FROM (SELECT 'ledger_entry'::regclass AS c
         UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'ledger_entry'::regclass) s`,
    );
    return rows[0]!.n;
  };
  try {
    await client.query('BEGIN');
    const before = await fetched();
    const found = await work(client);
    return { found, blocks: (await fetched()) - before };
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

async function page(filter: Partial<LedgerFilter>, key: number | null = null) {
  const { found, blocks } = await counting((client) =>
    readLedger(client, { ...anything, ...filter }, { after: key, limit: 50 }),
  );
  const { data, next, position } = found;
  assert.equal(position, ENTRIES);
  return { entries: data.length, states: [...new Set(data.map(({ state }) => state))], next, blocks };
}

const few = ({ blocks, ...found }: Awaited<ReturnType<typeof page>>, most: number) => {
  assert.ok(blocks <= most, `${blocks} blocks`);
  return found;
};

describe('entries', () => {
  test('of a state that none has are not looked for', async () => {
    assert.deepEqual(few(await page({ state: 'unknown' }), 6), { entries: 0, states: [], next: null });
    assert.deepEqual(few(await page({ state: 'void', userId: 'user-7' }), 6), { entries: 0, states: [], next: null });
  });

  test('of a state that few have are found wherever they lie', async () => {
    assert.deepEqual(few(await page({ state: 'reserved' }), 12), { entries: 3, states: ['reserved'], next: null });
    assert.deepEqual(few(await page({ state: 'wasted' }), 20), { entries: 10, states: ['wasted'], next: null });
    assert.deepEqual(few(await page({ state: 'wasted', userId: 'user-10' }), 20), {
      entries: 5,
      states: ['wasted'],
      next: null,
    });
    const older = few(await page({ state: 'wasted' }, 51), 12);
    assert.deepEqual(older, { entries: 5, states: ['wasted'], next: null });
  });

  test('of the state that most have come as pages of all do', async () => {
    const found = few(await page({ state: 'confirmed' }, 5_000), 120);
    assert.deepEqual(found, { entries: 50, states: ['confirmed'], next: 4_950 });
  });

  test('of a model that nobody, or not this user, has used are not looked for', async () => {
    assert.deepEqual(few(await page({ model: 'm9' }), 0), { entries: 0, states: [], next: null });
    assert.deepEqual(few(await page({ model: 'm9', userId: 'user-1' }), 0), { entries: 0, states: [], next: null });
    assert.equal(few(await page({ model: 'm1' }), 250).entries, 50);
  });

  test('of a range are found at its end, wherever it lies and whether or not the log still has its events', async () => {
    for (const [from, to] of [
      ['2026-03-02T00:00:00Z', '2026-03-02T00:30:00Z'],
      ['2026-03-05T00:00:00Z', null],
      [null, '2026-03-05T00:00:00Z'],
      ['2026-03-05T00:00:00.001Z', '2026-03-05T00:01:00.001Z'],
      ['2026-03-05T00:00:00Z', '2026-03-05T00:00:00Z'],
      ['2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z'],
      ['2030-01-01T00:00:00Z', null],
    ] as const) {
      const { rows } = await database.pool.query<{ position: number }>(
        `SELECT reserved_position AS position FROM ledger_entry
          WHERE reserved_at >= coalesce($1, '-infinity'::timestamptz) AND reserved_at < coalesce($2, 'infinity'::timestamptz)
          ORDER BY 1 DESC LIMIT 51`,
        [from, to],
      );
      const found = few(await page({ from, to }), 250);
      const next = rows.length > 50 ? rows[49]!.position : null;
      assert.deepEqual([found.entries, found.next], [Math.min(50, rows.length), next], `${from} to ${to}`);
    }
  });

  test('that are all read are noticed by this test', async () => {
    const { blocks } = await counting((client) => client.query('SELECT count(answered) FROM ledger_entry'));
    assert.ok(blocks > 200, `${blocks} blocks`);
  });
});

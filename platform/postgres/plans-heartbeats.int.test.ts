/** Claims and heartbeats are HOT updates: an index on lease, token or attempt would make each of them write it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { required } from '../../testing/kit/environment.ts';
import { newId } from '../ids.ts';

const t = cleanup(after);
let database: TestDatabase;
let client: pg.PoolClient;
const attempts: { prompt_id: string; dispatch: number; token: string }[] = [];

before(async () => {
  database = await createTestDatabase(t);
  client = await database.pool.connect();
  t.after(async () => client.release());
  await client.query(`INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at)
    SELECT gen_random_uuid(), 'ada', 'm', 1, now(), now() FROM generate_series(1, 2000)`);
  // One of each page: whether the room left on it is enough is then no matter of who else is there.
  const { rows } = await client.query<{ prompt_id: string; dispatch: number }>(`
    UPDATE outbox SET dispatch = nextval('dispatch_number') WHERE prompt_id IN (
      SELECT DISTINCT ON ((ctid::text::point)[0]) prompt_id FROM outbox ORDER BY (ctid::text::point)[0] LIMIT 20)
    RETURNING prompt_id, dispatch`);
  for (const row of rows) attempts.push({ ...row, token: newId() });
  // A transaction that writes, anywhere in the cluster, keeps old versions of rows from being cleared away meanwhile.
  const elsewhere = new pg.Client({ connectionString: required('TEST_POSTGRES_URI') });
  await elsewhere.connect();
  t.after(() => elsewhere.end());
  await elsewhere.query('BEGIN; SELECT pg_current_xact_id()');
});

/** Updates of the outbox that `work` makes: all of them, and those that touched no index. */
async function updates(work: () => Promise<unknown>): Promise<{ all: number; hot: number }> {
  const read = async () => {
    await client.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await client.query<{ all: number; hot: number }>(
      "SELECT n_tup_upd::integer AS all, n_tup_hot_upd::integer AS hot FROM pg_stat_user_tables WHERE relname = 'outbox'",
    );
    return rows[0]!;
  };
  const start = await read();
  await work();
  const end = await read();
  return { all: end.all - start.all, hot: end.hot - start.hot };
}

test('a claim touches no index', async () => {
  const claims = attempts.map(({ prompt_id, dispatch, token }) => ({
    s: prompt_id,
    v: null,
    e: [],
    o: { op: 'claim', dispatch, token, worker: 'w', attempt: 1, lease: 30, hold: 60 },
  }));
  const claim = () => client.query('SELECT * FROM append_events_v3($1::jsonb)', [JSON.stringify(claims)]);
  assert.deepEqual(await updates(claim), { all: 20, hot: 20 });
});

test('heartbeats touch no index', async () => {
  const ids = attempts.map(({ prompt_id }) => prompt_id);
  const tokens = attempts.map(({ token }) => token);
  const beats = async () => {
    for (let beat = 0; beat < 5; beat += 1) {
      const { rows } = await client.query<{ verdict: string }>('SELECT * FROM renew_leases_v1($1, $2, 30)', [
        ids,
        tokens,
      ]);
      assert.ok(rows.every(({ verdict }) => verdict === 'renewed'));
    }
  };
  assert.deepEqual(await updates(beats), { all: 100, hot: 100 });
});

test('an update that does touch one is told apart', async () => {
  const stamp = () => client.query('UPDATE outbox SET dispatch = dispatch + 1000 WHERE dispatch IS NOT NULL');
  assert.deepEqual(await updates(stamp), { all: 20, hot: 0 });
});

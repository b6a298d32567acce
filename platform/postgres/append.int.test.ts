/** The event store's promises, with real connections that race for the lock. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { barrier, until } from '../../testing/kit/until.ts';
import { APPEND_LIMITS } from '../boot.ts';
import { newId } from '../ids.ts';
import { type Append, type AppendResult, appendCall, encodeAppend } from './append.ts';
import { createPool } from './pool.ts';
import { readAll, readHead, readStreams } from './read.ts';
import { sqlState } from './sqlstate.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = openPool('first');
});

function openPool(name: string, limits: object = {}): pg.Pool {
  const opened = createPool({ uri: database.uri, name, max: 4, onError: () => {}, ...limits });
  t.after(() => opened.end());
  return opened;
}

const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
const event = (over: Partial<Append['events'][number]> = {}): Append['events'][number] => ({
  eventId: newId(),
  type: 'PromptSubmitted',
  data: submission,
  metadata,
  ...over,
});
const append = (over: Partial<Append> = {}): Append => ({
  streamId: newId(),
  expectedVersion: 0,
  events: [event()],
  outbox: null,
  ...over,
});
const open = { op: 'open', user: 'ada', model: 'm', lane: 1 } as const;
const send = (appends: Append[], on = pool): Promise<AppendResult[]> => appendCall(on, appends.map(encodeAppend));
const one = async (given: Append, on = pool): Promise<AppendResult> => (await send([given], on))[0]!;
const count = async (table: string): Promise<number> =>
  (await database.pool.query<{ n: number }>(`SELECT count(*)::integer AS n FROM ${table}`)).rows[0]!.n;

describe('two appends that race', () => {
  test('at one expected version: one is written, the other is told', async () => {
    const streamId = newId();
    await one(append({ streamId }));
    const others = [openPool('race-1'), openPool('race-2')];
    await Promise.all(others.map((other) => other.query('SELECT 1')));
    for (let round = 1; round <= 20; round += 1) {
      const ready = barrier(2);
      const results = await Promise.all(
        others.map(async (other) => {
          await ready();
          return one(append({ streamId, expectedVersion: round }), other);
        }),
      );
      assert.deepEqual(results.map(({ status }) => status).sort(), ['appended', 'conflict']);
      const conflict = results.find((result) => result.status === 'conflict');
      assert.equal(conflict?.status === 'conflict' && conflict.reason, 'version');
    }
    const events = (await readStreams(pool, [streamId])).get(streamId)!;
    assert.deepEqual(
      events.map(({ version }) => version),
      Array.from({ length: 21 }, (_, i) => i + 1),
    );
  });

  test('with one event id: one is written, the other is answered with what stands', async () => {
    const shared = event();
    const others = [openPool('twin-1'), openPool('twin-2')];
    const ready = barrier(2);
    const results = await Promise.all(
      others.map(async (other) => {
        await ready();
        return one(append({ events: [shared] }), other);
      }),
    );
    const [written] = results.filter((result) => result.status === 'appended');
    const [duplicate] = results.filter((result) => result.status === 'duplicate');
    assert.ok(written && duplicate);
    assert.deepEqual(
      { ...duplicate, status: '', type: '', metadata: '' },
      { ...written, status: '', type: '', metadata: '' },
    );
  });

  test('from four processes: a reader meanwhile sees no gap, and time never goes backwards', async () => {
    const writers = Array.from({ length: 4 }, (_, i) => openPool(`writer-${i}`));
    const from = await readHead(pool);
    const total = 4 * 40 * 3;
    let cursor = from;
    let last = '';
    const reader = until(
      'all were read',
      async () => {
        for (const row of await readAll(pool, cursor, 1_000)) {
          assert.ok(row.recorded_at >= last, `${row.recorded_at} after ${last}`);
          last = row.recorded_at;
          cursor = row.position;
        }
        return cursor === from + total;
      },
      30_000,
    );
    await Promise.all(
      writers.map(async (writer) => {
        for (let i = 0; i < 40; i += 1) await send([append(), append(), append()], writer);
      }),
    );
    await reader;
    assert.equal(await readHead(pool), from + total);
  });
});

describe('one call', () => {
  test('answers each append for itself, in its order', async () => {
    const streamId = newId();
    const known = event();
    await one(append({ events: [known] }));
    const results = await send([
      append(),
      append({ events: [known] }),
      append({ streamId, expectedVersion: 3 }),
      append({ streamId: newId(), events: [event(), event({ type: 'AttemptStarted' })] }),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === 'conflict' ? result.reason : result.status)),
      ['appended', 'duplicate', 'version', 'appended'],
    );
    assert.equal(results[3]?.status === 'appended' && results[3].version, 2);
  });

  test('takes one append per stream; the second is sent back', async () => {
    const streamId = newId();
    const results = await send([append({ streamId }), append({ streamId, expectedVersion: null })]);
    assert.deepEqual(results[1], { status: 'conflict', reason: 'call' });
    assert.equal((await readStreams(pool, [streamId])).get(streamId)?.length, 1);
  });

  test('knows an event id that an earlier append of it has brought', async () => {
    const shared = event();
    const results = await send([append({ events: [shared] }), append({ events: [shared] })]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['appended', 'duplicate'],
    );
  });

  test('writes nothing of an append of which any event is known', async () => {
    const known = event();
    await one(append({ events: [known] }));
    const before = await count('event');
    const result = await one(append({ events: [event(), known], outbox: open }));
    assert.equal(result.status, 'duplicate');
    assert.equal(await count('event'), before);
  });

  test('writes event and outbox row together, or neither', async () => {
    const streamId = newId();
    const before = await count('event');
    const broken = append({ streamId, outbox: { ...open, lane: 9 as 1 } });
    await assert.rejects(one(broken), (error) => sqlState(error) === '23514');
    assert.equal(await count('event'), before);
    await one(append({ streamId, outbox: open }));
    assert.equal(await count('event'), before + 1);
    const { rowCount } = await database.pool.query('SELECT FROM outbox WHERE prompt_id = $1', [streamId]);
    assert.equal(rowCount, 1);
  });
});

describe('a claim', () => {
  const claim = (over: object = {}) => ({
    op: 'claim' as const,
    dispatch: 7,
    token: newId(),
    worker: 'w',
    attempt: 1,
    lease: 30,
    hold: null,
    ...over,
  });
  const started = (over: Partial<Append>, token: string): Append =>
    append({ events: [event({ eventId: token, type: 'AttemptStarted' })], expectedVersion: 1, ...over });
  const dispatched = async (set = 'dispatch = 7'): Promise<string> => {
    const streamId = newId();
    await one(append({ streamId, outbox: open }));
    await database.pool.query(`UPDATE outbox SET ${set} WHERE prompt_id = $1`, [streamId]);
    return streamId;
  };

  test('needs the dispatch number of the row, its time, and nobody else’s attempt', async () => {
    const refused = [
      await dispatched('dispatch = 8'),
      await dispatched("dispatch = 7, due_at = now() + interval '1 hour'"),
      await dispatched("dispatch = 7, expires_at = now() - interval '1 second'"),
      await dispatched("dispatch = 7, state = 'closing'"),
      await dispatched("dispatch = 7, token = gen_random_uuid(), lease_until = now() - interval '1 day'"),
      await dispatched('dispatch = NULL'),
    ];
    for (const streamId of refused) {
      const terms = claim();
      const result = await one(started({ streamId, outbox: terms }, terms.token));
      assert.deepEqual(result, { status: 'conflict', reason: 'outbox' });
    }
  });

  test('that is repeated with its token is the same attempt; another one is refused', async () => {
    const streamId = await dispatched();
    const terms = claim();
    const first = await one(started({ streamId, outbox: terms }, terms.token));
    const again = await one(started({ streamId, outbox: terms }, terms.token));
    assert.equal(first.status, 'appended');
    assert.equal(again.status, 'duplicate');
    const other = claim();
    assert.equal((await one(started({ streamId, outbox: other, expectedVersion: 2 }, other.token))).status, 'conflict');
  });

  test('of two workers at once is one’s alone', async () => {
    const workers = [openPool('worker-1'), openPool('worker-2')];
    for (let round = 0; round < 10; round += 1) {
      const streamId = await dispatched();
      const ready = barrier(2);
      const results = await Promise.all(
        workers.map(async (worker) => {
          const terms = claim();
          await ready();
          return one(started({ streamId, outbox: terms }, terms.token), worker);
        }),
      );
      assert.deepEqual(results.map(({ status }) => status).sort(), ['appended', 'conflict']);
    }
  });
});

describe('the log', () => {
  test('cannot be changed by the services’ role', async () => {
    await one(append());
    for (const statement of [
      "UPDATE event SET type = 'x'",
      'DELETE FROM event',
      'TRUNCATE event',
      'INSERT INTO event SELECT * FROM event',
      'UPDATE log_head SET position = 0',
      'DELETE FROM outbox',
      'UPDATE outbox SET token = NULL',
      'ALTER TABLE event DISABLE TRIGGER ALL',
      'DROP TABLE event',
    ]) {
      await assert.rejects(pool.query(statement), (error) => sqlState(error) === '42501', statement);
    }
  });

  test('cannot be changed by a slip of its owner either', async () => {
    for (const statement of ["UPDATE event SET type = 'x'", 'DELETE FROM event', 'TRUNCATE event']) {
      await assert.rejects(database.pool.query(statement), /append-only/, statement);
    }
  });

  test('goes on counting where it was when its rows are archived away', async () => {
    const head = await readHead(pool);
    await database.pool.query(
      'ALTER TABLE event DISABLE TRIGGER USER; DELETE FROM event; ALTER TABLE event ENABLE TRIGGER USER',
    );
    const result = await one(append());
    assert.equal(result.status === 'appended' && result.position, head + 1);
  });

  test('is freed from a client that holds its lock and does nothing', async () => {
    const paused = openPool('paused', APPEND_LIMITS);
    const client = await paused.connect();
    await client.query('BEGIN');
    await client.query('SELECT * FROM append_events_v3($1::jsonb)', [`[${encodeAppend(append())}]`]);
    const startedAt = performance.now();
    const patient = openPool('patient');
    const result = await one(append(), patient);
    assert.equal(result.status, 'appended');
    const waited = performance.now() - startedAt;
    assert.ok(waited > 500 && waited < 6_000, `${waited} ms`);
    await assert.rejects(client.query('COMMIT'));
    client.release(true);
  });
});

/** Batching under load and under faults: everybody gets an answer of their own, and it is true. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { until } from '../../testing/kit/until.ts';
import { newId } from '../ids.ts';
import type { Append } from './append.ts';
import { type AppenderOptions, createAppender } from './appender.ts';
import { createPool } from './pool.ts';
import { readHead, readStreams } from './read.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'appender', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

type Call = { appends: number; bytes: number };
function appender(options: Partial<AppenderOptions> = {}) {
  const calls: Call[] = [];
  const made = createAppender({ pool, queueLimit: 10_000, onCall: (call) => calls.push(call), ...options });
  t.after(made.stop);
  return { ...made, append: made.append, calls };
}
const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
const append = (data: object = submission, streamId = newId()): Append => ({
  streamId,
  expectedVersion: 0,
  events: [{ eventId: newId(), type: 'PromptSubmitted', data, metadata }],
  outbox: { op: 'open', user: 'ada', model: 'm', lane: 1 },
});

/** Holds the append lock until it is called back. */
async function holdLock(): Promise<() => Promise<void>> {
  const client = await database.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_advisory_xact_lock(7301)');
  return async () => {
    await client.query('ROLLBACK');
    client.release();
  };
}

describe('the appender', () => {
  test('puts what arrives during a call into the next ones, a hundred at most', async () => {
    const { append: put, calls } = appender();
    const free = await holdLock();
    const first = put(append());
    await until('the first call waits for the lock', waitsForLock);
    const rest = Array.from({ length: 250 }, () => put(append()));
    await free();
    const results = await Promise.all([first, ...rest]);
    assert.ok(results.every(({ status }) => status === 'appended'));
    const positions = results.map((result) => (result.status === 'appended' ? result.position : 0));
    assert.equal(new Set(positions).size, 251);
    assert.deepEqual(
      calls.map(({ appends }) => appends),
      [1, 100, 100, 50],
    );
  });

  test('lets the others of a call go on while a row that one of them changes is held, and waits for it', async () => {
    const held = newId();
    const { append: put } = appender({ retryForMs: 10_000 });
    assert.equal((await put(append(submission, held))).status, 'appended');
    const client = await database.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT FROM outbox WHERE prompt_id = $1 FOR UPDATE', [held]);
      const change: Append = { streamId: held, expectedVersion: 1, events: [], outbox: { op: 'drop' } };
      let isChanged = false;
      const changing = put(change).then((result) => {
        isChanged = true;
        return result;
      });
      const others = await Promise.all(Array.from({ length: 20 }, () => put(append())));
      assert.ok(others.every(({ status }) => status === 'appended'));
      assert.equal(isChanged, false);
      await client.query('COMMIT');
      assert.equal((await changing).status, 'appended');
    } finally {
      client.release(true); // and with it the row
    }
  });

  test('gives a larger append more time', async () => {
    await database.pool.query(`
      CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.6); RETURN new; END $$;
      CREATE TRIGGER slowly BEFORE INSERT ON event FOR EACH ROW WHEN (length(new.data ->> 'prompt') > 1000000)
        EXECUTE FUNCTION slowly()`);
    const open = (name: string, statementTimeoutMs: number) => {
      const made = createPool({ uri: database.uri, name, max: 1, statementTimeoutMs, onError: () => {} });
      t.after(() => made.end());
      return made;
    };
    const small = open('small', 300);
    const large = append({ ...submission, prompt: 'x'.repeat(1_500_000) });
    await assert.rejects(appender({ pool: small, retryForMs: 0 }).append(large), { code: '57014' });
    const { append: put } = appender({ pool: small, largePool: open('large', 10_000), retryForMs: 0 });
    const results = await Promise.all([put(large), put(append())]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['appended', 'appended'],
    );
    await database.pool.query('DROP TRIGGER slowly ON event');
  });

  test('keeps a call below a megabyte, and sends a larger append alone', async () => {
    const { append: put, calls } = appender();
    const free = await holdLock();
    const large = (bytes: number) => append({ ...submission, prompt: 'x'.repeat(bytes) });
    const first = put(append());
    await until('the first call waits for the lock', waitsForLock);
    const rest = [large(400_000), large(400_000), large(400_000), large(1_500_000)].map(put);
    await free();
    const results = await Promise.all([first, ...rest]);
    assert.ok(results.every(({ status }) => status === 'appended'));
    assert.deepEqual(
      calls.map(({ appends }) => appends),
      [1, 2, 1, 1],
    );
  });

  test('lets one bad append fail alone', async () => {
    const { append: put } = appender();
    const free = await holdLock();
    const before = await readHead(database.pool);
    const first = put(append());
    await until('the first call waits for the lock', waitsForLock);
    const bad = append({ ...submission, prompt: 'a\u0000b' }); // 22P05: no place for it in jsonb
    const settled = Promise.allSettled([put(append()), put(bad), put(append())]);
    await free();
    const outcomes = (await settled).map(({ status }) => status);
    assert.deepEqual(outcomes, ['fulfilled', 'rejected', 'fulfilled']);
    await first;
    assert.equal(await readHead(database.pool), before + 3);
  });

  test('takes two appends of one stream one after the other', async () => {
    const { append: put } = appender();
    const streamId = newId();
    const [one, two] = await Promise.all([
      put(append(submission, streamId)),
      put({ ...append(submission, streamId), expectedVersion: 1, outbox: null }),
    ]);
    assert.deepEqual([one.status, two.status], ['appended', 'appended']);
    assert.equal((await readStreams(pool, [streamId])).get(streamId)?.length, 2);
  });

  test('refuses more than its queue holds, at once', async () => {
    const { append: put } = appender({ queueLimit: 3 });
    const free = await holdLock();
    const taken = [put(append())];
    await until('the first call waits for the lock', waitsForLock);
    taken.push(...Array.from({ length: 3 }, () => put(append())));
    await assert.rejects(put(append()), { code: 'overloaded' });
    await free();
    assert.ok((await Promise.all(taken)).every(({ status }) => status === 'appended'));
  });

  test('answers everything it took before it stops, and takes nothing after', async () => {
    const made = appender();
    const taken = Array.from({ length: 120 }, () => made.append(append()));
    await made.stop();
    assert.ok((await Promise.all(taken)).every(({ status }) => status === 'appended'));
    await assert.rejects(made.append(append()), { code: 'overloaded' });
  });

  test('whose connections are cut again and again stores everything once', async () => {
    const { append: put } = appender({ retryForMs: 10_000 });
    const before = await readHead(database.pool);
    const given = Array.from({ length: 300 }, () => append());
    const results = [];
    for (let i = 0; i < given.length; i += 30) {
      const batch = given.slice(i, i + 30).map(put);
      // Somewhere between sending, committing and the reply: ten tries meet different moments.
      await cutConnections();
      results.push(...(await Promise.all(batch)));
    }
    // A lost reply makes the repetition a duplicate of itself: what stands is the same event.
    assert.ok(results.every(({ status }) => status !== 'conflict'));
    assert.equal(await readHead(database.pool), before + 300);
    const streams = await readStreams(
      database.pool,
      given.map(({ streamId }) => streamId),
    );
    assert.ok([...streams.values()].every((events) => events.length === 1) && streams.size === 300);
  });
});

const cutConnections = () =>
  database.pool.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'appender' AND datname = current_database()",
  );

async function waitsForLock(): Promise<boolean> {
  const { rows } = await database.pool.query<{ n: number }>(
    "SELECT count(*)::integer AS n FROM pg_stat_activity WHERE application_name = 'appender' AND wait_event = 'advisory' AND datname = current_database()",
  );
  return rows[0]!.n > 0;
}

test('an append with a time: taken back when it was not sent, unknown when it was; the log has the latter', async () => {
  const { appendWithin, stop } = appender();
  const free = await holdLock();
  const [sent, waiting] = [append(), append()];
  const first = appendWithin(sent, 400);
  await until('the first call waits for the lock', waitsForLock);
  // In the call that is under way; the next one waits for its end.
  const unknown = assert.rejects(first, { code: 'append_unanswered' });
  await assert.rejects(appendWithin(waiting, 100), { code: 'overloaded' });
  await unknown;
  await free();
  await stop();
  const streams = await readStreams(pool, [sent.streamId, waiting.streamId]);
  assert.deepEqual([...streams.keys()], [sent.streamId]);
});

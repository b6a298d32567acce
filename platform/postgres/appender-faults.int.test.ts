/** The appender when connections break at the worst moment: told or not, an append is in the log once. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { until } from '../../testing/kit/until.ts';
import { openWire, type Wire } from '../../testing/kit/wire.ts';
import { newId } from '../ids.ts';
import type { Append } from './append.ts';
import { type AppenderOptions, createAppender } from './appender.ts';
import { decideAndAppend } from './decide-and-append.ts';
import { createPool } from './pool.ts';
import { readHead, readPrompt, readStreamRows } from './read.ts';
import { isConnectionLoss, sqlState } from './sqlstate.ts';

const t = cleanup(after);
let database: TestDatabase;
let wire: Wire;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  wire = await openWire(database.uri);
  t.after(wire.close);
  pool = createPool({ uri: wire.uri, name: 'faulty', max: 2, onError: () => {} });
  t.after(() => pool.end());
});
beforeEach(() => wire.mend());

function appender(options: Partial<AppenderOptions> = {}) {
  const calls: number[] = [];
  const made = createAppender({ pool, queueLimit: 100, onCall: ({ appends }) => calls.push(appends), ...options });
  t.after(made.stop);
  return { made, calls };
}
const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
const append = (over: Partial<Append> = {}): Append => ({
  streamId: newId(),
  expectedVersion: 0,
  events: [{ eventId: newId(), type: 'PromptSubmitted', data: submission, metadata }],
  outbox: { op: 'open', user: 'ada', model: 'm', lane: 1 },
  ...over,
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

/** The backend that waits for the append lock. */
const waiting = () =>
  until('a call waits for the lock', async () => {
    const { rows } = await database.pool.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'faulty' AND wait_event = 'advisory' AND datname = current_database()",
    );
    return rows[0]?.pid;
  });

async function storedOnce(given: Append[], headBefore: number): Promise<void> {
  const streams = await readStreamRows(
    database.pool,
    given.map(({ streamId }) => streamId),
  );
  assert.deepEqual(
    given.map(({ streamId }) => streams.get(streamId)?.map((row) => row.event_id)),
    given.map(({ events }) => events.map(({ eventId }) => eventId)),
  );
  assert.equal(await readHead(database.pool), headBefore + given.length);
}

describe('an append', () => {
  test('whose connection is ended before it had the lock is made again, and stored once', async () => {
    const { made, calls } = appender({ retryForMs: 10_000 });
    const head = await readHead(database.pool);
    const free = await holdLock();
    const given = [append(), append(), append()];
    const results = Promise.all(given.map(made.append));
    const first = await waiting();
    await database.pool.query('SELECT pg_terminate_backend($1)', [first]);
    await until('it is made again', async () => (await waiting()) !== first);
    await free();
    assert.deepEqual(
      (await results).map(({ status }) => status),
      ['appended', 'appended', 'appended'],
    );
    assert.deepEqual(calls, [3]);
    await storedOnce(given, head);
  });

  test('whose answer is lost after the commit is made again, and finds itself', async () => {
    const { made } = appender({ retryForMs: 10_000 });
    await pool.query('SELECT 1'); // the connection stands: what is lost is the append's answer, not the greeting
    const [head, lost] = [await readHead(database.pool), wire.lost];
    const given = [append(), append()];
    wire.loseAnswer();
    const results = await Promise.all(given.map(made.append));
    assert.equal(wire.lost, lost + 1);
    assert.deepEqual(
      results.map((result) => (result.status === 'duplicate' ? result.streamId : result.status)),
      given.map(({ streamId }) => streamId),
    );
    await storedOnce(given, head);
  });

  test('is refused with the fault when it lasts, and the next one goes through when it is over', async () => {
    const { made } = appender({ retryForMs: 200 });
    const [head, taken] = [await readHead(database.pool), wire.taken];
    wire.cut();
    await assert.rejects(made.append(append()), isConnectionLoss);
    assert.ok(wire.taken - taken > 1, 'it was tried more than once');
    wire.mend();
    const given = [append()];
    assert.equal((await made.append(given[0]!)).status, 'appended');
    await storedOnce(given, head);
  });

  test('that can never be stored is tried once in its batch and once alone, not until the time is over', async () => {
    const { made, calls } = appender({ retryForMs: 60_000 });
    const head = await readHead(database.pool);
    const good = append();
    const bad = append({ outbox: { op: 'open', user: 'ada', model: 'm', lane: 9 as 1 } });
    const outcomes = await Promise.allSettled([made.append(good), made.append(bad)]);
    assert.equal(outcomes[0].status, 'fulfilled');
    assert.ok(outcomes[1].status === 'rejected' && sqlState(outcomes[1].reason) === '23514');
    assert.deepEqual(calls, [1], 'the good one alone');
    await storedOnce([good], head);
  });

  test('that names an id its batch refused to another is sent again, and stored', async () => {
    const { made, calls } = appender();
    const head = await readHead(database.pool);
    const { events } = append();
    const results = await Promise.all([
      made.append(append({ events, expectedVersion: 5 })),
      made.append(append({ events })),
    ]);
    assert.deepEqual(results[0], { status: 'conflict', reason: 'version' });
    assert.equal(results[1].status, 'appended');
    assert.deepEqual(calls, [2, 1]);
    assert.equal(await readHead(database.pool), head + 1);
  });
});

test('a stop during a fault waits for the answer of what was taken', async () => {
  const { made } = appender({ retryForMs: 10_000 });
  const head = await readHead(database.pool);
  const free = await holdLock();
  const given = [append(), append()];
  const first = made.append(given[0]!);
  const pid = await waiting();
  const second = made.append(given[1]!);
  assert.equal(made.waiting, 1);
  let stopped = false;
  const stopping = made.stop().then(() => {
    stopped = true;
  });
  await database.pool.query('SELECT pg_terminate_backend($1)', [pid]);
  await until('it is made again', async () => (await waiting()) !== pid);
  assert.equal(stopped, false);
  await assert.rejects(made.append(append()), { code: 'overloaded' });
  await free();
  await stopping;
  assert.deepEqual([(await first).status, (await second).status], ['appended', 'appended']);
  await storedOnce(given, head);
});

test('a decision whose answer is lost is told the place of its last event, as if nothing had been', async () => {
  const { made } = appender({ retryForMs: 10_000 });
  const submitted = append({ outbox: null });
  await made.append(submitted);
  const { state } = (await readPrompt(pool, submitted.streamId))!;
  const subject = { userId: state.userId, model: state.model, submittedAt: state.submittedAt };
  const event = (key: string) => ({ key, type: 'PromptExpired' as const, data: subject });
  const [head, lost] = [await readHead(database.pool), wire.lost];
  wire.loseAnswer();
  const decided = await decideAndAppend({
    read: (promptId) => readPrompt(pool, promptId),
    append: made.append,
    promptId: submitted.streamId,
    state, // known, so that the answer lost is the append's
    decide: () => ({ events: [event('one'), event('two'), event('three')], outbox: null }),
    metadata: () => ({ ...metadata, causationId: 'this one' }),
    tries: 1,
  });
  assert.equal(wire.lost, lost + 1);
  assert.equal(decided.status === 'done' && decided.position, head + 3);
  assert.equal(await readHead(database.pool), head + 3);
});

/** What an append is answered with, how the log is numbered and timed, and who may write it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { until } from '../../testing/kit/until.ts';
import { APPEND_LIMITS } from '../boot.ts';
import { newId } from '../ids.ts';
import { type Append, type AppendResult, appendCall, encodeAppend } from './append.ts';
import { createPool } from './pool.ts';
import { readAll, readHead, readStreamRows } from './read.ts';
import { sqlState } from './sqlstate.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'answers', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

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
const send = (appends: Append[]): Promise<AppendResult[]> => appendCall(pool, appends.map(encodeAppend));
const one = async (given: Append): Promise<AppendResult> => (await send([given]))[0]!;
const hasRow = async (streamId: string): Promise<boolean> =>
  (await database.pool.query('SELECT FROM outbox WHERE prompt_id = $1', [streamId])).rowCount === 1;

describe('a duplicate', () => {
  test('is answered with the stream, place, time, type and metadata of the event that stands', async () => {
    const stored = { ...metadata, causationId: 'first', bodyHash: 'of the first body' };
    const known = event({ type: 'AttemptStarted', metadata: stored });
    const streamId = newId();
    const written = await one(append({ streamId, events: [event(), known] }));
    const late = append({
      events: [event({ eventId: known.eventId, metadata: { ...metadata, causationId: 'late' } })],
    });
    assert.deepEqual(await one(late), { ...written, status: 'duplicate', type: 'AttemptStarted', metadata: stored });
  });

  test('changes neither log nor outbox, and takes no position', async () => {
    const known = event();
    await one(append({ events: [known] }));
    const [head, streamId] = [await readHead(pool), newId()];
    assert.equal((await one(append({ streamId, events: [known, event()], outbox: open }))).status, 'duplicate');
    assert.equal(await readHead(pool), head);
    assert.equal((await readStreamRows(pool, [streamId])).size, 0);
    assert.equal(await hasRow(streamId), false);
  });

  test('is known before its version is judged: the replay of an old append is no conflict', async () => {
    const streamId = newId();
    const first = append({ streamId });
    await one(first);
    await one(append({ streamId, expectedVersion: 1 }));
    assert.equal((await one(first)).status, 'duplicate');
  });

  test('of an append that the same call refused is sent back, and stands when it comes again', async () => {
    const shared = event();
    const again = append({ events: [shared] });
    const results = await send([append({ events: [shared], expectedVersion: 5 }), again]);
    assert.deepEqual(results, [
      { status: 'conflict', reason: 'version' },
      { status: 'conflict', reason: 'call' },
    ]);
    assert.equal((await one(again)).status, 'appended');
  });

  test('within one call is answered with the place that the first of them took', async () => {
    const shared = event();
    const [written, duplicate] = await send([append({ events: [shared] }), append({ events: [shared] })]);
    assert.deepEqual(duplicate, { ...written, status: 'duplicate', type: 'PromptSubmitted', metadata });
  });
});

describe('the log', () => {
  test('keeps the events of one append together and in order; the answer tells the last one’s place', async () => {
    const [streamId, other] = [newId(), newId()];
    const head = await readHead(pool);
    const results = await send([
      append({ streamId, events: [event(), event({ type: 'AttemptStarted' }), event({ type: 'AttemptFailed' })] }),
      append({ streamId: other }),
    ]);
    const rows = await readAll(pool, head, 10);
    assert.deepEqual(
      rows.map(({ stream_id, version, type }) => [stream_id, version, type]),
      [
        [streamId, 1, 'PromptSubmitted'],
        [streamId, 2, 'AttemptStarted'],
        [streamId, 3, 'AttemptFailed'],
        [other, 1, 'PromptSubmitted'],
      ],
    );
    assert.deepEqual(
      results.map((result) => result.status === 'appended' && [result.version, result.position]),
      [
        [3, head + 3],
        [1, head + 4],
      ],
    );
  });

  test('has no hole after a call that failed or was refused', async () => {
    const head = await readHead(pool);
    await assert.rejects(one(append({ outbox: { ...open, lane: 9 as 1 } })), (error) => sqlState(error) === '23514');
    assert.equal((await one(append({ expectedVersion: 4 }))).status, 'conflict');
    const result = await one(append());
    assert.equal(result.status === 'appended' && result.position, head + 1);
  });

  test('never goes back in time, though the clock of the server does', async () => {
    const ahead = '2999-01-01T00:00:00.000Z';
    const { rows } = await database.pool.query<{ was: string }>('SELECT recorded_at AS was FROM log_head');
    await database.pool.query('UPDATE log_head SET recorded_at = $1', [ahead]);
    try {
      const result = await one(append());
      assert.equal(result.status === 'appended' && result.recordedAt, ahead);
      assert.equal((await readAll(pool, (await readHead(pool)) - 1, 1))[0]?.recorded_at, ahead);
    } finally {
      await database.pool.query('UPDATE log_head SET recorded_at = $1', [rows[0]!.was]);
    }
  });

  test('holds nothing up after a clock that was ahead: what is due, or over, is so by the clock', async () => {
    const { rows } = await database.pool.query<{ was: string }>('SELECT recorded_at AS was FROM log_head');
    await database.pool.query(`UPDATE log_head SET recorded_at = clock_timestamp() + interval '1 hour'`);
    try {
      const expires = new Date(Date.now() + 60_000).toISOString();
      const asked = append({ outbox: { ...open, expires, unexpired: true } });
      assert.equal((await one(asked)).status, 'appended');
      const due = await database.pool.query<{ is: boolean }>(
        'SELECT due_at <= clock_timestamp() AS is FROM outbox WHERE prompt_id = $1',
        [asked.streamId],
      );
      assert.deepEqual(due.rows, [{ is: true }]);
      const expired = append({ outbox: { ...open, expires: new Date(Date.now() - 1).toISOString(), unexpired: true } });
      assert.equal((await one(expired)).status, 'conflict');
    } finally {
      await database.pool.query('UPDATE log_head SET recorded_at = $1', [rows[0]!.was]);
    }
  });

  test('is written by those alone who were granted it', async () => {
    const client = await database.pool.connect();
    const role = `stranger_${process.pid}`;
    try {
      await client.query(`BEGIN; CREATE ROLE ${role}; SET LOCAL ROLE ${role}`);
      const call = client.query('SELECT * FROM append_events_v3($1::jsonb)', [`[${encodeAppend(append())}]`]);
      await assert.rejects(call, (error) => sqlState(error) === '42501');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });
});

/** Sends Parse, Bind and Execute, and then nothing: the server has done the work, holds the lock and waits for Sync. */
class Unfinished implements pg.Submittable {
  executed = false;
  error: unknown = null;
  submit = (connection: pg.Connection): void => {
    const extended = connection as unknown as Record<
      'parse' | 'bind' | 'execute' | 'flush',
      (message?: object) => void
    >;
    extended.parse({ name: '', text: 'SELECT * FROM append_events_v3($1::jsonb)', types: [] });
    extended.bind({ portal: '', statement: '', values: [`[${encodeAppend(append())}]`] });
    extended.execute({ portal: '', rows: 0 });
    extended.flush();
  };
  handleDataRow(): void {}
  handleCommandComplete(): void {
    this.executed = true;
  }
  handleError(error: unknown): void {
    this.error ??= error;
  }
}

test('a client that is paused between Execute and Sync is cut off; the next append goes through', async () => {
  const paused = createPool({ uri: database.uri, name: 'paused', max: 1, onError: () => {}, ...APPEND_LIMITS });
  const client = await paused.connect();
  try {
    const head = await readHead(pool);
    const unfinished = new Unfinished();
    client.query(unfinished);
    await until('the append is executed', () => unfinished.executed);
    const startedAt = performance.now();
    const result = await one(append());
    const waited = performance.now() - startedAt;
    assert.ok(waited > 500 && waited < 4_000, `${waited} ms`);
    assert.equal(result.status === 'appended' && result.position, head + 1, 'nothing of the paused one stays');
    await until('the client is told', () => unfinished.error);
    assert.equal(sqlState(unfinished.error), '25P04');
  } finally {
    client.release(true);
    await paused.end();
  }
});

/** What fell through is found: lost attempts, times that are over, entries that Redis has and nobody can read. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type pg from 'pg';
import { startAttempt } from '../../contracts/prompt/decide.ts';
import type { RetryPolicy } from '../../contracts/prompt/events.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import { type Append, type AppendResult, appendCall, encodeAppend } from '../../platform/postgres/append.ts';
import { toAppend } from '../../platform/postgres/decision.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readPrompt } from '../../platform/postgres/read.ts';
import { createTaskStream } from '../../platform/redis/tasks.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { appendStrange } from '../../testing/kit/strange-event.ts';
import { until } from '../../testing/kit/until.ts';
import { type Leadership, tryLead } from './leader.ts';
import { createSweeper } from './sweeper.ts';

const STREAM = 'tasks';
const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
/** What a claim was made in. */
const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`;
const budget = { maxAttempts: 3, baseSeconds: 60, capSeconds: 60, callTimeoutSeconds: 1, random: 1 };

let database: TestDatabase;
let redis: TestRedis;
let pool: pg.Pool;
let lead: Leadership;
let sweep: () => Promise<void>;
let skipped = 0;
let told: [string, object][] = [];
let ended: (() => Promise<void>) | null = null;

beforeEach(async () => {
  await ended?.();
  const t = cleanup((release) => {
    ended = release;
  });
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  pool = createPool({ uri: database.uri, name: 'sweeper-test', max: 4, onError: () => {} });
  t.after(() => pool.end());
  lead = (await tryLead(database.uri, 'sweeper-test-lead'))!;
  t.after(lead.release);
  skipped = 0;
  told = [];
  sweep = sweepOf({});
});
after(async () => ended?.());

function sweepOf(over: { batch?: number }): () => Promise<void> {
  const sweeper = createSweeper({
    read: (promptId) => readPrompt(pool, promptId),
    append: put,
    tasks: createTaskStream(redis.client, STREAM),
    budget: () => budget,
    name: 'r',
    logger: { info: () => {}, warn: (fault) => assert.ok(!('err' in fault), JSON.stringify(fault)) },
    everyMs: 0,
    unclaimedSeconds: 0,
    onSkipped: () => {
      skipped += 1;
    },
    onFailure: (failure) => void told.push(['failure', failure]),
    onCharged: (charged) => void told.push(['charged', charged]),
    onChange: () => {},
    ...over,
  });
  return () => sweeper(lead);
}

const put = async (append: Append): Promise<AppendResult> => (await appendCall(pool, [encodeAppend(append)]))[0]!;

async function submit(over: { retry?: RetryPolicy; expires?: string } = {}): Promise<string> {
  const streamId = newId();
  const { expires, ...data } = over;
  await put({
    streamId,
    expectedVersion: 0,
    events: [
      {
        eventId: newId(),
        type: 'PromptSubmitted',
        data: { ...submission, ...data, ...(expires && { expiresAt: expires }) },
        metadata,
      },
    ],
    outbox: { op: 'open', user: 'ada', model: 'm', lane: 1, ...(expires && { expires }) },
  });
  return streamId;
}

async function claim(promptId: string, terms: { lease: number; hold: number | null }): Promise<string> {
  const token = newId();
  await database.pool.query("UPDATE outbox SET dispatch = nextval('dispatch_number') WHERE prompt_id = $1", [promptId]);
  const { state } = (await readPrompt(pool, promptId))!;
  const decision = startAttempt(state, { token, worker: 'w' });
  assert.ok(!('refused' in decision));
  const { rows } = await database.pool.query<{ dispatch: number }>('SELECT dispatch FROM outbox WHERE prompt_id = $1', [
    promptId,
  ]);
  const result = await put(
    toAppend(
      state,
      decision,
      { ...metadata, traceparent },
      {
        claim: { dispatch: rows[0]!.dispatch, token, worker: 'w', leaseSeconds: terms.lease, holdSeconds: terms.hold },
      },
    ),
  );
  assert.equal(result.status, 'appended');
  return token;
}
const row = async (promptId: string) =>
  (await database.pool.query('SELECT * FROM outbox WHERE prompt_id = $1', [promptId])).rows[0] as
    | { dispatch: number | null; token: string | null; attempt: number; due_in: number }
    | undefined;
const types = async (promptId: string) => (await readPrompt(pool, promptId))!.events.map(({ type }) => type);

describe('an attempt whose lease ended', () => {
  test('is recorded as lost with its bound, and the prompt tried again later', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 0.001, hold: null });
    await sweep();
    const { state, events } = (await readPrompt(pool, promptId))!;
    const failed = events.at(-1)!;
    assert.equal(failed.type, 'AttemptFailed');
    assert.equal(failed.metadata.traceparent, traceparent, 'it goes on with the trace of the attempt');
    assert.deepEqual([state.status, state.attempts.length], ['retrying', 1]);
    assert.equal(state.attempts[0]?.nanoUsd, null);
    assert.equal(state.attempts[0]?.boundNanoUsd, submission.costBound);
    const waiting = await row(promptId);
    assert.deepEqual([waiting?.dispatch, waiting?.token, waiting?.attempt], [null, null, 1]);
    const { model } = submission;
    assert.deepEqual(told.splice(0), [
      ['failure', { model, code: 'lease_lost', retried: true }],
      [
        'charged',
        { model, account: 'wasted', usage: null, nanoUsd: null, boundNanoUsd: submission.costBound, emulated: false },
      ],
    ]);
  });

  test('is not touched while the lease lives, nor while its prompt asks to wait for the call’s own end', async () => {
    const alive = await submit();
    const cautious = await submit({ retry: 'cautious' });
    await claim(alive, { lease: 60, hold: null });
    await claim(cautious, { lease: 0.001, hold: 60 });
    await sweep();
    for (const promptId of [alive, cautious]) assert.equal((await types(promptId)).at(-1), 'AttemptStarted');
  });

  test('is not taken for dead while Postgres has been up for less than a lease', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 0.001, hold: null });
    // As after a restart: the worker may be about to settle what it was paid for.
    await database.pool.query(
      'UPDATE outbox SET lease_seconds = extract(epoch FROM now() - pg_postmaster_start_time()) + 60',
    );
    await sweep();
    assert.equal((await types(promptId)).at(-1), 'AttemptStarted');
    await database.pool.query('UPDATE outbox SET lease_seconds = 0.001');
    await sweep();
    assert.equal((await types(promptId)).at(-1), 'AttemptFailed');
  });

  test('is not taken for dead when the server has crashed since, though its postmaster lives on', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 0.3, hold: null });
    await until('the lease is over', async () => {
      const { rows } = await database.pool.query('SELECT 1 FROM outbox WHERE lease_until < clock_timestamp()');
      return rows.length > 0;
    });
    await database.pool.query('TRUNCATE server_up'); // as crash recovery leaves every unlogged table
    await sweep();
    assert.equal((await types(promptId)).at(-1), 'AttemptStarted');
    await until('it has been up for longer than a lease', async () => {
      await sweep();
      return (await types(promptId)).at(-1) === 'AttemptFailed';
    });
  });

  test('of a prompt that this build cannot read is left alone, and keeps no other from being given up', async () => {
    const stuck = [await submit(), await submit(), await submit()];
    for (const promptId of stuck) {
      await claim(promptId, { lease: 0.001, hold: null });
      await appendStrange(database.pool, promptId);
    }
    const late = await submit({ expires: new Date(Date.now() - 1).toISOString() });
    const fine = await submit();
    await claim(fine, { lease: 0.001, hold: null });
    // The batch holds fewer than stand in front.
    sweep = sweepOf({ batch: 2 });
    await sweep();
    await sweep();
    assert.equal(skipped, 3);
    assert.equal((await types(fine)).at(-1), 'AttemptFailed');
    assert.equal((await types(late)).at(-1), 'PromptExpired');
    await sweep();
    assert.equal(skipped, 3, 'told once');
  });

  test('of a prompt with retry never ends it: nobody knows what came of it', async () => {
    const promptId = await submit({ retry: 'never' });
    await claim(promptId, { lease: 0.001, hold: 0.002 });
    await sweep();
    const { state } = (await readPrompt(pool, promptId))!;
    assert.equal(state.status, 'failed');
    assert.equal(state.error?.code, 'outcome_unknown');
    assert.equal(await row(promptId), undefined);
  });

  test('of two sweeps at once is recorded once', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 0.001, hold: null });
    await Promise.all([sweep(), sweep(), sweep()]);
    assert.deepEqual(await types(promptId), ['PromptSubmitted', 'AttemptStarted', 'AttemptFailed']);
  });
});

describe('a prompt whose time is over', () => {
  const over = new Date(Date.now() - 1_000).toISOString();

  test('expires when no attempt runs', async () => {
    const promptId = await submit({ expires: over });
    await sweep();
    assert.equal((await types(promptId)).at(-1), 'PromptExpired');
    assert.equal(await row(promptId), undefined);
  });

  test('is not cut while an attempt runs', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 60, hold: null });
    await database.pool.query('UPDATE outbox SET expires_at = $2 WHERE prompt_id = $1', [promptId, over]);
    await sweep();
    assert.equal((await types(promptId)).at(-1), 'AttemptStarted');
  });
});

describe('an entry that was published', () => {
  const stamp = async (promptId: string) => {
    const { rows } = await database.pool.query<{ dispatch: number }>(
      "UPDATE outbox SET dispatch = nextval('dispatch_number'), dispatched_at = now() - interval '1 hour' WHERE prompt_id = $1 RETURNING dispatch",
      [promptId],
    );
    return `${rows[0]!.dispatch}-0`;
  };
  const publish = async () => {
    const promptId = await submit();
    const id = await stamp(promptId);
    await redis.client.xadd(STREAM, id, 'promptId', promptId);
    return { promptId, id };
  };
  const group = () => redis.client.xgroup('CREATE', STREAM, 'workers', '0', 'MKSTREAM');
  const take = () => redis.client.xreadgroup('GROUP', 'workers', 'w', 'COUNT', 10, 'STREAMS', STREAM, '>');
  const waits = async (promptId: string) => (await row(promptId))?.dispatch === null;

  test('and never taken, or taken and pending, is left alone', async () => {
    await group();
    const pending = await publish();
    await take();
    const fresh = await publish();
    await sweep();
    assert.equal(await waits(pending.promptId), false);
    assert.equal(await waits(fresh.promptId), false);
  });

  const losses: [how: string, lose: (id: string) => Promise<unknown>][] = [
    ['deleted', (id) => redis.client.xdel(STREAM, id)],
    ['trimmed away', () => redis.client.xtrim(STREAM, 'MAXLEN', 0)],
    [
      'in the list of a consumer that was removed',
      async () => {
        await take();
        await redis.client.xgroup('DELCONSUMER', STREAM, 'workers', 'w');
      },
    ],
    ['skipped by a group that was moved on', () => redis.client.xgroup('SETID', STREAM, 'workers', '$')],
    ['wiped with everything', () => redis.client.flushdb()],
    [
      'acknowledged by somebody who did not claim it',
      async (id) => {
        await take();
        await redis.client.xack(STREAM, 'workers', id);
      },
    ],
  ];
  for (const [how, lose] of losses) {
    test(`and ${how} is dispatched again`, async () => {
      await group();
      const { promptId, id } = await publish();
      await lose(id);
      await sweep();
      assert.equal(await waits(promptId), true);
    });
  }

  test('and claimed is not dispatched again, whatever became of it', async () => {
    const promptId = await submit();
    await claim(promptId, { lease: 60, hold: null });
    await redis.client.flushdb();
    await sweep();
    assert.equal(await waits(promptId), false);
  });
});

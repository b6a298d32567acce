/** The relay between a real Postgres and a real Redis: what it publishes, and what it does when either is not as it was left. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import { appendCall, encodeAppend } from '../../platform/postgres/append.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { createTaskStream, type TaskStream } from '../../platform/redis/tasks.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { tryLead } from './leader.ts';
import { createRelay } from './relay.ts';

const STREAM = 'tasks';
let database: TestDatabase;
let redis: TestRedis;
let pool: pg.Pool;
let t: ReturnType<typeof cleanup>;
let ended: (() => Promise<void>) | null = null;

beforeEach(async () => {
  await ended?.();
  t = cleanup((release) => {
    ended = release;
  });
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  pool = createPool({ uri: database.uri, name: 'relay-test', max: 4, onError: () => {} });
  t.after(() => pool.end());
});
after(async () => ended?.());

function startRelay(name = 'relay', over: Partial<TaskStream> = {}): { readonly leads: boolean; faults: () => number } {
  let faults = 0;
  const relay = createRelay({
    tasks: { ...createTaskStream(redis.client, STREAM), ...over },
    lead: () => tryLead(database.uri, name),
    sweep: async () => {},
    logger: {
      info: () => {},
      warn: () => {
        faults += 1;
      },
    },
    pollMs: 10,
    standbyMs: 20,
  });
  relay.start();
  t.after(relay.stop);
  return {
    get leads() {
      return relay.leads;
    },
    faults: () => faults,
  };
}

type Row = { user?: string; model?: string; lane?: 0 | 1 | 2; due?: string; trace?: string };
async function submit(rows: Row[]): Promise<string[]> {
  const ids = rows.map(() => newId());
  for (let i = 0; i < rows.length; i += 100) {
    await appendCall(
      pool,
      rows.slice(i, i + 100).map(({ user = 'ada', model = 'm', lane = 1, due, trace }, k) =>
        encodeAppend({
          streamId: ids[i + k]!,
          expectedVersion: 0,
          events: [
            {
              eventId: newId(),
              type: 'PromptSubmitted',
              data: { ...submission, userId: user, model },
              metadata: { correlationId: 'c', causationId: null, traceparent: null, actor: 'user' },
            },
          ],
          outbox: { op: 'open', user, model, lane, ...(due && { due }), ...(trace && { trace }) },
        }),
      ),
    );
  }
  return ids;
}
const many = (n: number, row: Row = {}): Row[] => Array.from({ length: n }, () => row);
const slots = (n: number) =>
  database.pool.query(
    'INSERT INTO worker VALUES ($1, $2, 0, now()) ON CONFLICT (worker_id) DO UPDATE SET slots = $2, seen_at = now()',
    ['w', n],
  );

type Entry = { id: string; fields: Record<string, string> };
async function entries(): Promise<Entry[]> {
  return (await redis.client.xrange(STREAM, '-', '+')).map(([id, flat]) => ({
    id,
    fields: Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!])),
  }));
}
const stamped = async () =>
  (
    await database.pool.query<{ prompt_id: string; dispatch: number }>(
      'SELECT prompt_id, dispatch FROM outbox WHERE dispatch IS NOT NULL ORDER BY dispatch',
    )
  ).rows;

/** What a worker could still be given, as `<dispatch>-0 <prompt>`, is exactly what the outbox says was dispatched. */
async function agree(n: number): Promise<Entry[]> {
  return until(`stream and outbox agree on ${n}`, async () => {
    const [inStream, inOutbox] = [await entries(), await stamped()];
    const current = inStream.filter(({ id, fields }) =>
      inOutbox.some((row) => `${row.dispatch}-0` === id && row.prompt_id === fields['promptId']),
    );
    return inOutbox.length === n && current.length === n ? current : null;
  });
}

describe('the relay', () => {
  test('publishes a ready prompt once, by its dispatch number, without its text', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const [id] = await submit([{ trace: traceparent, lane: 0, model: 'gemini-2.5-pro' }]);
    startRelay();
    const [entry] = await agree(1);
    assert.deepEqual(entry!.fields, { promptId: id, lane: 'interactive', model: 'gemini-2.5-pro', traceparent });
    assert.match(entry!.id, /^\d+-0$/);
  });

  test('waits for a prompt’s time', async () => {
    const [later, now] = await submit([{ due: '2100-01-01T00:00:00Z' }, {}]);
    startRelay();
    const [first] = await agree(1);
    assert.equal(first?.fields['promptId'], now);
    // Brought near only now: how long all this took is the machine's own.
    const { rows } = await database.pool.query<{ soon: string }>(
      "UPDATE outbox SET due_at = clock_timestamp() + interval '300 milliseconds' WHERE prompt_id = $1 RETURNING due_at AS soon",
      [later],
    );
    const both = await agree(2);
    assert.equal(both[1]?.fields['promptId'], later);
    const clock = await database.pool.query<{ over: boolean }>('SELECT clock_timestamp() >= $1::timestamptz AS over', [
      rows[0]!.soon,
    ]);
    assert.ok(clock.rows[0]?.over);
  });

  test('keeps the backlog in Postgres: the stream holds about twice the free slots', async () => {
    await slots(10);
    await submit(many(500));
    startRelay();
    await agree(20);
    assert.equal(await redis.client.xlen(STREAM), 20);
    await redis.client.xreadgroup('GROUP', 'workers', 'w', 'COUNT', 7, 'STREAMS', STREAM, '>');
    await agree(27); // seven were taken, seven came after
  });

  test('of two, one leads; when its connection is cut the other goes on, and nothing is lost', async () => {
    await slots(100);
    const first = startRelay('relay-a');
    await until('the first leads', () => first.leads);
    const second = startRelay('relay-b');
    const before = await submit(many(20));
    await agree(20);
    assert.equal(second.leads, false);
    await database.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relay-a' AND datname = current_database()",
    );
    await submit(many(20));
    const current = await agree(40);
    assert.ok(first.leads !== second.leads);
    assert.ok(before.every((id) => current.some(({ fields }) => fields['promptId'] === id)));
  });

  test('gives users turns: five hundred prompts of one do not hold up another’s', async () => {
    await slots(4);
    await submit(many(500, { user: 'flood' }));
    startRelay();
    await agree(8);
    const [late] = await submit([{ user: 'zoe' }]);
    // The flood's eight are ahead of it; of the next eight it must be one.
    for (let taken = 0; taken < 16; taken += 4) {
      await redis.client.xreadgroup('GROUP', 'workers', 'w', 'COUNT', 4, 'STREAMS', STREAM, '>');
      await agree(Math.min(8 + taken + 4, 501));
    }
    assert.ok((await entries()).slice(0, 24).some(({ fields }) => fields['promptId'] === late));
  });

  test('lets an urgent lane pass, and a patient one never starve', async () => {
    await slots(8);
    await submit([...many(100, { lane: 2 }), ...many(100, { lane: 0 })]);
    startRelay();
    await until('both lanes are published', async () => {
      const lanes = (await entries()).map(({ fields }) => fields['lane']);
      return (
        lanes.filter((lane) => lane === 'interactive').length === 16 &&
        lanes.filter((lane) => lane === 'batch').length === 2
      );
    });
  });

  test('holds a parked model back, and no other; it goes on when its time is over', async () => {
    await database.pool.query("INSERT INTO parked_model VALUES ('stuck', 'daily_quota', now() + interval '1 hour')");
    const [held, free] = await submit([{ model: 'stuck' }, { model: 'fine' }]);
    startRelay();
    const [entry] = await agree(1);
    assert.equal(entry!.fields['promptId'], free);
    await database.pool.query('UPDATE parked_model SET until = now()');
    const both = await agree(2);
    assert.equal(both[1]!.fields['promptId'], held);
  });

  test('lets a model that nobody serves fast fill its own places only', async () => {
    await slots(5);
    await submit(many(100, { model: 'slow' }));
    startRelay();
    await agree(10);
    const ids = await submit(many(3, { model: 'quick' }));
    await agree(13);
    const published = (await entries()).map(({ fields }) => fields['promptId']);
    assert.ok(ids.every((id) => published.includes(id)));
  });
});

describe('a stream that is not as the relay left it', () => {
  const cases: [what: string, damage: () => Promise<unknown>][] = [
    ['wiped', () => redis.client.flushdb()],
    ['deleted', () => redis.client.del(STREAM)],
    ['given a foreign entry', () => redis.client.xadd(STREAM, '*', 'promptId', 'not ours')],
    ['given ids from far ahead', () => redis.client.xadd(STREAM, '99999999999999999-7', 'a', 'b')],
    [
      'overwritten by what is no stream',
      async () => {
        await redis.client.set(STREAM, 'not a stream');
        await until('it is one again', async () => (await redis.client.type(STREAM)) !== 'string');
      },
    ],
    ['moved on by a number', () => redis.client.call('XSETID', STREAM, '5000-0')],
  ];
  for (const [what, damage] of cases) {
    test(`(${what}) is noticed: everything is published again under new numbers, and what comes after too`, async () => {
      await slots(50);
      const ids = await submit(many(10));
      startRelay();
      const first = await agree(10);
      await damage();
      ids.push(...(await submit(many(5))));
      const second = await agree(15);
      assert.deepEqual(new Set(second.map(({ fields }) => fields['promptId'])), new Set(ids));
      const lastBefore = Number(first.at(-1)!.id.split('-')[0]);
      assert.ok(
        second.every(({ id }) => Number(id.split('-')[0]) > lastBefore),
        'no number is given twice',
      );
    });
  }

  test('is published to again without the attempts that run', async () => {
    await slots(50);
    const [running] = await submit(many(3));
    startRelay();
    await agree(3);
    await database.pool.query(
      "UPDATE outbox SET token = prompt_id, lease_seconds = 60, lease_until = now() + interval '1 minute' WHERE prompt_id = $1",
      [running],
    );
    await redis.client.flushdb();
    await submit(many(1));
    await until('the three others are published', async () => (await entries()).length === 3);
    assert.ok((await entries()).every(({ fields }) => fields['promptId'] !== running));
  });

  test('rolled back to a former state, as by a failover, is noticed too', async () => {
    await slots(50);
    await submit(many(5));
    startRelay();
    await agree(5);
    const copy = await redis.client.dumpBuffer(STREAM);
    await submit(many(5));
    await agree(10);
    await redis.client.restore(STREAM, 0, copy!, 'REPLACE');
    await submit(many(1));
    await agree(11);
  });
});

test('a relay that Redis answers with errors keeps its lock, and publishes what came meanwhile', async () => {
  await slots(50);
  const tasks = createTaskStream(redis.client, STREAM);
  let isFull = false;
  const relay = startRelay('relay', {
    publish: async (...entries) => {
      if (isFull) throw new Error("OOM command not allowed when used memory > 'maxmemory'.");
      return tasks.publish(...entries);
    },
  });
  await submit(many(2));
  await agree(2);
  isFull = true;
  await submit(many(3));
  await until('the relay has met the fault twice', () => relay.faults() >= 2);
  assert.ok(relay.leads);
  isFull = false;
  await agree(5);
});

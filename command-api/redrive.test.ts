/** A bulk redrive that the log does not take to its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type pg from 'pg';
import { AppenderBusyError } from '../platform/postgres/appender.ts';
import type { ChangeResult } from './change-prompt.ts';
import { createRedrive } from './redrive.ts';

const by = { userId: 'ada', isAdmin: false, requestId: 'r', traceparent: null, withinMs: 2_000 };
const filter = { userId: 'ada', model: null, code: null, conversationId: null, from: null, to: null };
const request = { filter, reason: 'why', limit: 1_000, dryRun: false };
const ids = Array.from({ length: 250 }, (_, i) => `id-${i}`);
const DONE = { status: 'done' } as ChangeResult;

function rig(retry: (promptId: string) => Promise<ChangeResult>) {
  const asked: string[] = [];
  let told = 0;
  /** The live version, then those that have not expired, then those that have. */
  const answers: object[][] = [
    [{ version: 1, position: 1, as_of: '-infinity' }],
    ids.map((prompt_id) => ({ prompt_id })),
    [],
  ];
  const pool = { query: async () => ({ rows: answers.shift() }) } as unknown as pg.Pool;
  const redrive = createRedrive({
    pool,
    retry: async ({ promptId }, reason) => {
      assert.equal(reason, 'why');
      asked.push(promptId);
      return retry(promptId);
    },
    now: () => new Date(0),
    onRequeued: () => {
      told += 1;
    },
  });
  return { redrive: () => redrive(by, request), asked, told: () => told };
}

test('when the queue is full it rejects as one redrive does; what went through is announced, no more is begun', async () => {
  const full = new AppenderBusyError('5000 appends are waiting');
  const { redrive, asked, told } = rig(async (id) => {
    if (id === 'id-150') throw full;
    return DONE;
  });
  await assert.rejects(redrive(), full);
  assert.deepEqual(asked, ids.slice(0, 200));
  assert.equal(told(), 2);
});

test('it waits for all that it has begun before it tells of a fault', async () => {
  let ended = 0;
  const { redrive } = rig(async (id) => {
    if (id === 'id-0') throw new Error('at once');
    await new Promise(setImmediate);
    ended += 1;
    return DONE;
  });
  await assert.rejects(redrive(), /at once/);
  assert.equal(ended, 99);
});

test('what a single redrive would refuse is told with its code, in the order of submission', async () => {
  const refusals: Record<string, ChangeResult> = {
    'id-3': { status: 'wrong_state', state: {} as never, reason: 'not_failed' },
    'id-7': { status: 'wrong_state', state: {} as never, reason: 'expired' },
    'id-120': { status: 'contended' },
    'id-249': { status: 'not_found' },
  };
  const { redrive, told } = rig(async (id) => refusals[id] ?? DONE);
  assert.deepEqual(await redrive(), {
    matched: 250,
    requeued: 246,
    skipped: [
      { id: 'id-3', code: 'wrong_state' },
      { id: 'id-7', code: 'expired' },
      { id: 'id-120', code: 'unavailable' },
      { id: 'id-249', code: 'not_found' },
    ],
    more: false,
  });
  assert.equal(told(), 3);
});

test('nobody is told when nothing was sent again', async () => {
  const { redrive, told } = rig(async () => ({ status: 'contended' }));
  assert.equal((await redrive()).requeued, 0);
  assert.equal(told(), 0);
});

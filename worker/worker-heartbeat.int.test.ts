/** Leases: kept alive while a call runs, and what the heartbeat learns about each of them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type AttemptResult, cancel, isRefusal, settleAttempt } from '../contracts/prompt/decide.ts';
import { sleep } from '../platform/boot.ts';
import { newId } from '../platform/ids.ts';
import { decideAndAppend } from '../platform/postgres/decide-and-append.ts';
import { readPrompt, readStreamRows } from '../platform/postgres/read.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import { budget, createRig, type Rig } from '../testing/kit/worker-rig.ts';
import { createClaimer } from './claim.ts';
import { createHeartbeat } from './heartbeat.ts';
import { createLeaseLedger } from './lease-ledger.ts';
import { createRunning, type RunningAttempt } from './running.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

const LEASE_SECONDS = 3;

/** Dispatched and claimed, not called. */
async function claimed(promptId: string): Promise<RunningAttempt & { attempt: number }> {
  const { dispatch } = await rig.createLine().stamp(promptId);
  const leases = createLeaseLedger(rig.pool);
  const readStreams = (ids: string[]) => readStreamRows(rig.pool, ids);
  const options = {
    leases,
    readStreams,
    append: rig.append,
    worker: 'w',
    leaseSeconds: 60,
    callTimeoutSeconds: 60,
    sleep,
    isStopping: () => false,
    putAside: async () => {},
  };
  const entryId = `${dispatch}-0`;
  const result = await createClaimer(options)({ entryId, dispatch, promptId, traceparent: null });
  assert.ok(result.status === 'claimed');
  const { token, attempt } = result.claim;
  return { promptId, token, attempt, entryId, controller: new AbortController() };
}

/** Shortens the lease, so that a renewal is seen whatever its length. */
const shorten = (promptId: string) =>
  rig.database.pool.query(`UPDATE outbox SET lease_until = now() + interval '1 ms' WHERE prompt_id = $1`, [promptId]);

async function secondsLeft(promptId: string): Promise<number> {
  const { rows } = await rig.database.pool.query<{ left: number }>(
    'SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 AS left FROM outbox WHERE prompt_id = $1',
    [promptId],
  );
  return rows[0]?.left ?? Number.NaN;
}
const renewed = (promptId: string) =>
  until('the lease is renewed', async () => {
    const left = await secondsLeft(promptId);
    assert.ok(left <= LEASE_SECONDS);
    return left > 0.1;
  });

/** Begins after the attempts are known, so that its first beat asks for all of them. */
function beat(c: { after: (fn: () => Promise<void>) => void }, ...attempts: RunningAttempt[]) {
  const running = createRunning(4);
  for (const attempt of attempts) running.add(attempt);
  const touched: string[][] = [];
  const heartbeat = createHeartbeat({
    leases: createLeaseLedger(rig.pool),
    tasks: { touch: async (ids) => void touched.push(ids) },
    running,
    worker: `worker-${newId()}`,
    leaseSeconds: LEASE_SECONDS,
    logger: { warn: () => {} },
  });
  heartbeat.start();
  c.after(heartbeat.stop);
  return { heartbeat, touched };
}

const decide = (promptId: string, decision: Parameters<typeof decideAndAppend>[0]['decide']) =>
  decideAndAppend({
    read: (id) => readPrompt(rig.pool, id),
    append: rig.append,
    promptId,
    decide: decision,
    metadata: () => ({ correlationId: 'c', causationId: newId(), traceparent: null, actor: 'user:ada' }),
  });

const none = {
  usage: null,
  rawUsage: null,
  nanoUsd: null,
  boundNanoUsd: 1_000,
  priceVersion: 'test@1',
  emulated: false,
};
/** As the sweeper does when a lease is dead. */
async function giveUp({ promptId, token, attempt }: RunningAttempt & { attempt: number }): Promise<void> {
  const result: AttemptResult = { attempt, token, charge: none, end: 'lost', code: 'lease_lost', message: '' };
  const decided = await decide(promptId, (state) => settleAttempt(state, result, budget));
  assert.equal(decided.status, 'done');
}

describe('the heartbeat', () => {
  test('renews leases and keeps the entries of running attempts', async (c) => {
    const attempt = await claimed(await rig.submit());
    await shorten(attempt.promptId);
    const { touched } = beat(c, attempt);
    await renewed(attempt.promptId);
    await until('its entry is touched', () => touched.length > 0);
    assert.deepEqual(touched[0], [attempt.entryId]);
    assert.equal(attempt.controller.signal.aborted, false);
  });

  test('aborts the call of a cancelled prompt, whose lease it renews until the cost is known', async (c) => {
    const attempt = await claimed(await rig.submit());
    await decide(attempt.promptId, (state) => {
      const decision = cancel(state, 'user:ada');
      assert.ok(!isRefusal(decision));
      return decision;
    });
    await shorten(attempt.promptId);
    beat(c, attempt);
    await until('the call is aborted', () => attempt.controller.signal.aborted);
    assert.equal(attempt.controller.signal.reason, 'cancelled');
    await renewed(attempt.promptId);
  });

  test('lets a call go on whose lease was given up: it is paid for either way', async (c) => {
    const [lost, kept] = [await claimed(await rig.submit()), await claimed(await rig.submit())];
    await giveUp(lost);
    await shorten(kept.promptId);
    const { touched } = beat(c, lost, kept);
    await renewed(kept.promptId);
    await until('it has asked twice', () => touched.length >= 2);
    assert.deepEqual([lost.controller.signal.aborted, kept.controller.signal.aborted], [false, false]);
  });

  test('asks again for a row that was locked, and aborts nothing meanwhile', async (c) => {
    const attempt = await claimed(await rig.submit());
    const lock = await rig.database.pool.connect();
    try {
      await lock.query('BEGIN');
      await lock.query('UPDATE outbox SET lease_until = now() WHERE prompt_id = $1', [attempt.promptId]);
      const { touched } = beat(c, attempt);
      await until('it has asked twice', () => touched.length >= 2);
      assert.equal(attempt.controller.signal.aborted, false);
    } finally {
      await lock.query('COMMIT');
      lock.release();
    }
    await renewed(attempt.promptId);
    assert.equal(attempt.controller.signal.aborted, false);
  });

  for (const order of ['older first', 'newer first']) {
    test(`tells apart two attempts of one prompt in one process, ${order}`, async (c) => {
      const promptId = await rig.submit();
      const older = await claimed(promptId);
      await giveUp(older);
      const newer = await claimed(promptId);
      await shorten(promptId);
      beat(c, ...(order === 'older first' ? [older, newer] : [newer, older]));
      await renewed(promptId);
      assert.equal(newer.controller.signal.aborted, false);
      await decide(promptId, (state) => {
        const decision = cancel(state, 'user:ada');
        assert.ok(!isRefusal(decision));
        return decision;
      });
      await until('the newer is aborted', () => newer.controller.signal.aborted, 3_000);
      assert.equal(newer.controller.signal.reason, 'cancelled');
      assert.equal(older.controller.signal.aborted, false);
    });
  }
});

test('a Redis that hangs does not hold the renewal of leases up', async (c) => {
  const promptId = await rig.submit();
  const attempt = await claimed(promptId);
  const running = createRunning(4);
  running.add(attempt);
  let [asked, renewals] = [0, 0];
  const leases = createLeaseLedger(rig.pool);
  const heartbeat = createHeartbeat({
    leases: {
      ...leases,
      renew: (...args) => {
        renewals += 1;
        return leases.renew(...args);
      },
    },
    tasks: {
      touch: () => {
        asked += 1;
        return new Promise(() => {});
      },
    },
    running,
    worker: `worker-${newId()}`,
    leaseSeconds: LEASE_SECONDS,
    logger: { warn: () => {} },
  });
  heartbeat.start();
  c.after(heartbeat.stop);
  await until('it was renewed several times', () => {
    heartbeat.now();
    return renewals >= 3;
  });
  await shorten(promptId);
  heartbeat.now();
  await renewed(promptId);
  assert.equal(asked, 1, 'Redis is not asked again while it owes an answer');
});

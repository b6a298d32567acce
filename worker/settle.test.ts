/** A stop while Postgres is away: nobody waits for the next try. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startAttempt } from '../contracts/prompt/decide.ts';
import { apply, given, PROMPT_ID, record, submitted } from '../contracts/prompt/spec.ts';
import { fold } from '../contracts/prompt/state.ts';
import { createPause } from '../platform/pause.ts';
import { latch } from '../testing/kit/until.ts';
import { createSettler } from './settle.ts';
import type { HeldAnswer } from './spool/spool.ts';

const lost = () => Promise.reject(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));

test('an answer of an earlier process whose prompt has left the log is on record, and goes from the spool', async () => {
  const removed: string[] = [];
  const settler = createSettler({
    read: async () => null,
    isArchived: async (promptId) => promptId === 'p',
    append: lost,
    worker: 'w',
    budget: () => ({ maxAttempts: 1, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 }),
    spool: { put: async () => {}, remove: async (token) => void removed.push(token), held: async () => [] },
    sleep: async () => {},
    logger: { warn: () => {}, error: () => {} },
  });
  const held = (promptId: string) => ({ promptId, attempt: 1, token: 't', correlationId: 'c' }) as HeldAnswer;
  assert.deepEqual(await settler.settle(held('p'), null), { status: 'recorded', tell: null });
  assert.deepEqual(removed, ['t']);
  assert.deepEqual(await settler.settle(held('of another log'), null), { status: 'spooled' });
  assert.deepEqual(removed, ['t']);
});

describe('an attempt that the log took, and does not know any more,', () => {
  const events = record([submitted()]);
  const streams = { 'has no prompt': null, 'has no attempt': { state: fold(events)!, events } };
  const claimed = apply(given(submitted()), startAttempt(given(submitted()), { token: 't', worker: 'w' }));
  const charge = { usage: null, rawUsage: null, nanoUsd: 0, boundNanoUsd: null, priceVersion: null, emulated: false };
  for (const [what, found] of Object.entries(streams)) {
    test(`(it ${what}) is given up, and its answer left to the spool: a slot is not held for ever`, async () => {
      const kept: string[] = [];
      let looks = 0;
      const settler = createSettler({
        read: async () => {
          looks += 1;
          return found;
        },
        isArchived: async () => false,
        append: async () => ({ status: 'conflict', reason: 'version' }),
        worker: 'w',
        budget: () => ({ maxAttempts: 1, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 }),
        spool: { put: async ({ token }) => void kept.push(token), remove: async () => {}, held: async () => [] },
        sleep: async () => {},
        logger: { warn: () => {}, error: () => {} },
      });
      const result = { attempt: 1, token: 't', charge, end: 'failed', code: 'c', message: '' } as const;
      const answer = { promptId: PROMPT_ID, attempt: 1, token: 't', correlationId: 'c', traceparent: null, result };
      assert.deepEqual(await settler.settle(answer, claimed), { status: 'spooled' });
      assert.deepEqual(kept, ['t']);
      assert.ok(looks > 1, 'it is looked for again');
    });
  }
});

test('what is safe in the spool does not keep a process that stops from ending, however long its pause', async () => {
  const paused = latch();
  const pause = createPause(() => {
    paused.release();
    return new Promise(() => {});
  });
  const kept: string[] = [];
  const settler = createSettler({
    read: lost,
    isArchived: lost,
    append: lost,
    worker: 'w',
    budget: () => ({ maxAttempts: 1, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 }),
    spool: { put: async ({ token }) => void kept.push(token), remove: async () => {}, held: async () => [] },
    sleep: pause.for,
    logger: { warn: () => {}, error: () => {} },
  });
  const answer = { promptId: 'p', attempt: 1, token: 't', correlationId: 'c', traceparent: null } as HeldAnswer;
  const settled = settler.settle(answer, null);
  await paused.promise;
  settler.stop();
  pause.cut();
  assert.deepEqual(await settled, { status: 'spooled' });
  assert.ok(kept.length >= 1);
});

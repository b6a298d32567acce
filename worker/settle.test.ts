/** A stop while Postgres is away: nobody waits for the next try. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settleAttempt, startAttempt } from '../contracts/prompt/decide.ts';
import { apply, given, PROMPT_ID, record, submitted } from '../contracts/prompt/spec.ts';
import { fold } from '../contracts/prompt/state.ts';
import { createPause } from '../platform/pause.ts';
import { latch } from '../testing/kit/until.ts';
import { createSettler } from './settle.ts';
import type { HeldAnswer } from './spool/spool.ts';

const budget = () => ({ maxAttempts: 1, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 });
const lost = () => Promise.reject(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));

test('an answer of an earlier process whose prompt has left the log is on record, and goes from the spool', async () => {
  const removed: string[] = [];
  const settler = createSettler({
    read: async () => null,
    isArchived: async (promptId) => promptId === 'p',
    confirm: async () => {},
    append: lost,
    worker: 'w',
    budget,
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

const charge = { usage: null, rawUsage: null, nanoUsd: 0, boundNanoUsd: null, priceVersion: null, emulated: false };
const result = { attempt: 1, token: 't', charge, end: 'failed', code: 'c', message: '' } as const;
const answer = { promptId: PROMPT_ID, attempt: 1, token: 't', correlationId: 'c', traceparent: null, result };
const claimed = apply(given(submitted()), startAttempt(given(submitted()), { token: 't', worker: 'w' }));

test('what an earlier try left on record is believed only when it is safe there', async () => {
  const ended = apply(claimed, settleAttempt(claimed, result, budget()));
  const said: string[] = [];
  const settler = createSettler({
    read: async () => ({ state: ended, events: [] }),
    isArchived: async () => false,
    append: lost,
    confirm: async () => {
      said.push('asked');
      if (said.length < 3) throw Object.assign(new Error('the wait was broken off'), { code: '40003' });
    },
    worker: 'w',
    budget,
    spool: { put: async () => {}, remove: async () => void said.push('removed'), held: async () => [] },
    sleep: async () => {},
    logger: { warn: () => {}, error: () => {} },
  });
  assert.deepEqual(await settler.settle(answer, claimed), { status: 'recorded', tell: null });
  assert.deepEqual(said, ['asked', 'asked', 'asked', 'removed']);
});

describe('an attempt that the log took, and does not know any more,', () => {
  const events = record([submitted()]);
  const streams = { 'has no prompt': null, 'has no attempt': { state: fold(events)!, events } };
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
        confirm: async () => {},
        append: async () => ({ status: 'conflict', reason: 'version' }),
        worker: 'w',
        budget,
        spool: {
          put: async ({ token }) => {
            if (looks < 20) throw new Error('no space left on device');
            kept.push(token);
          },
          remove: async () => {},
          held: async () => [],
        },
        sleep: async () => {},
        logger: { warn: () => {}, error: () => {} },
      });
      assert.deepEqual(await settler.settle(answer, claimed), { status: 'spooled' });
      assert.deepEqual(kept, ['t']);
      assert.ok(looks >= 20, 'what the disk does not take is held');
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
    confirm: lost,
    append: lost,
    worker: 'w',
    budget,
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

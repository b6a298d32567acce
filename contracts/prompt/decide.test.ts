import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AttemptResult,
  type Charge,
  cancel,
  correctCost,
  type Decision,
  expire,
  isRefusal,
  mayStillStart,
  type Refusal,
  requeue,
  settleAttempt,
  startAttempt,
} from './decide.ts';
import type { RetryPolicy } from './events.ts';
import type { RetryBudget } from './retry.ts';
import { apply, given, submitted } from './spec.ts';
import { spendOf } from './spend.ts';
import type { PromptState } from './state.ts';

const budget: RetryBudget = { maxAttempts: 3, baseSeconds: 1, capSeconds: 30, callTimeoutSeconds: 300, random: 0.5 };
const token = (n: number) => `01900000-0000-7000-8000-0000000000a${n}`;

const paid: Charge = {
  usage: { inputTokens: 3, cachedInputTokens: 0, outputTokens: 2, thoughtTokens: 1, totalTokens: 6 },
  rawUsage: { promptTokenCount: 3 },
  nanoUsd: 700,
  boundNanoUsd: null,
  priceVersion: 'test@1',
  emulated: false,
};
const free: Charge = { ...paid, usage: null, rawUsage: null, nanoUsd: 0 };
const unknownCost: Charge = { ...free, nanoUsd: null, boundNanoUsd: 1_000 };

const answer = (attempt: number): AttemptResult => ({
  attempt,
  token: token(attempt),
  charge: paid,
  end: 'completed',
  answer: 'scattering',
  encoding: 'plain',
  finishReason: 'STOP',
  truncated: false,
  modelVersion: 'm',
});
const failure = (
  attempt: number,
  end: 'retry' | 'failed' | 'unknown' | 'lost' | 'not_called' | 'parked',
  over: object = {},
): AttemptResult => ({
  attempt,
  token: token(attempt),
  charge: end === 'unknown' || end === 'lost' ? unknownCost : free,
  end,
  code: 'provider_503',
  message: 'overloaded',
  ...over,
});

const start = (state: PromptState) =>
  apply(state, startAttempt(state, { token: token(state.attempts.length + 1), worker: 'w' }));
const settle = (state: PromptState, result: AttemptResult) => apply(state, settleAttempt(state, result, budget));
const types = (decision: Decision | Refusal) =>
  isRefusal(decision) ? decision.refused : decision.events.map((event) => event.type);
const outbox = (decision: Decision | Refusal) => (isRefusal(decision) ? null : decision.outbox);

describe('an attempt', () => {
  test('is started once at a time, and not after the end', () => {
    const running = start(given(submitted()));
    assert.equal(running.status, 'running');
    assert.equal(types(startAttempt(running, { token: token(2), worker: 'w' })), 'running');
    const done = settle(running, answer(1));
    assert.equal(types(startAttempt(done, { token: token(2), worker: 'w' })), 'terminal');
  });

  test('that answers completes the prompt and drops its row', () => {
    const running = start(given(submitted()));
    const decision = settleAttempt(running, answer(1), budget);
    assert.deepEqual(types(decision), ['PromptCompleted']);
    assert.deepEqual(outbox(decision), { op: 'drop' });
    const done = apply(running, decision);
    assert.equal(done.status, 'completed');
    assert.equal(done.attempts[0]?.nanoUsd, 700);
  });

  test('with another token is nobody’s', () => {
    const running = start(given(submitted()));
    assert.equal(types(settleAttempt(running, { ...answer(1), token: token(9) }, budget)), 'unknown_attempt');
  });

  test('is settled once: the second word finds the first', () => {
    const done = settle(start(given(submitted())), answer(1));
    assert.equal(types(settleAttempt(done, answer(1), budget)), 'recorded');
  });
});

describe('a claim that nobody answered may still come to stand', () => {
  const queued = given(submitted());
  test('while its number is free and the prompt open', () => {
    assert.equal(mayStillStart(queued, 1), true);
  });
  test('and not when another has its number, or the prompt has ended', () => {
    assert.equal(mayStillStart(start(queued), 1), false);
    assert.equal(mayStillStart(apply(queued, cancel(queued, 'ada')), 1), false);
  });
});

describe('a failed attempt', () => {
  test('is followed by another after a backoff that doubles, until the budget is used up', () => {
    let state = start(given(submitted()));
    const waits: number[] = [];
    for (const n of [1, 2]) {
      const decision = settleAttempt(state, failure(n, 'retry'), budget);
      const change = outbox(decision);
      assert.equal(change?.op, 'reschedule');
      waits.push(change.op === 'reschedule' ? change.afterSeconds : -1);
      state = start(apply(state, decision));
    }
    assert.deepEqual(waits, [0.75, 1.5]);
    const last = settleAttempt(state, failure(3, 'retry'), budget);
    assert.deepEqual(types(last), ['AttemptFailed', 'PromptFailed']);
    assert.equal(apply(state, last).error?.code, 'attempts_exhausted');
  });

  test('waits at least as long as the provider asked', () => {
    const state = start(given(submitted()));
    const change = outbox(settleAttempt(state, failure(1, 'retry', { afterSeconds: 20 }), budget));
    assert.ok(change?.op === 'reschedule' && change.afterSeconds >= 20, JSON.stringify(change));
  });

  test('never waits for years, whatever the provider asks', () => {
    const day = 86_400;
    for (const afterSeconds of [day + 1, 315_576_000_000, 1e300]) {
      for (const end of ['retry', 'parked'] as const) {
        const change = outbox(settleAttempt(start(given(submitted())), failure(1, end, { afterSeconds }), budget));
        assert.ok(change?.op === 'reschedule' && change.afterSeconds >= day, JSON.stringify(change));
        assert.ok(change.afterSeconds <= 1.1 * day, JSON.stringify(change));
      }
    }
  });

  test('that is final fails the prompt at once', () => {
    const state = start(given(submitted()));
    assert.deepEqual(types(settleAttempt(state, failure(1, 'failed'), budget)), ['AttemptFailed', 'PromptFailed']);
  });

  test('counts nothing when it was surely not called, or when the whole model is refused', () => {
    let state = given(submitted());
    for (let n = 1; n <= 6; n += 1) state = settle(start(state), failure(n, n % 2 ? 'not_called' : 'parked'));
    assert.equal(state.status, 'retrying');
    assert.deepEqual(types(settleAttempt(start(state), failure(7, 'retry'), budget)), ['AttemptFailed']);
  });
});

describe('retry policies', () => {
  const afterUnknown = (retry: RetryPolicy, end: 'unknown' | 'lost' | 'retry') =>
    settleAttempt(start(given(submitted({ retry }))), failure(1, end), budget);

  test('never: the provider is called at most once, and an unknown end says so', () => {
    const decision = afterUnknown('never', 'unknown');
    assert.deepEqual(types(decision), ['AttemptFailed', 'PromptFailed']);
    assert.equal(apply(start(given(submitted({ retry: 'never' }))), decision).error?.code, 'outcome_unknown');
    assert.deepEqual(types(afterUnknown('never', 'retry')), ['AttemptFailed', 'PromptFailed']);
  });

  test('cautious: an unknown end waits for the call’s own deadline', () => {
    assert.deepEqual(outbox(afterUnknown('cautious', 'unknown')), { op: 'reschedule', afterSeconds: 300 });
  });

  test('auto: a lost attempt is followed at once, its lease has been waited for', () => {
    assert.deepEqual(outbox(afterUnknown('auto', 'lost')), { op: 'reschedule', afterSeconds: 0 });
  });

  test('auto: one lost again comes back at some time within twice its backoff, apart from those lost with it', () => {
    const again = start(settle(start(given(submitted())), failure(1, 'lost')));
    const after = (random: number) => outbox(settleAttempt(again, failure(2, 'lost'), { ...budget, random }));
    assert.deepEqual([0, 0.5].map(after), [
      { op: 'reschedule', afterSeconds: 0 },
      { op: 'reschedule', afterSeconds: 2 },
    ]);
  });
});

describe('late outcomes', () => {
  const second = () => start(settle(start(given(submitted())), failure(1, 'lost')));

  test('a late answer completes an open prompt, and the row stays for the attempt that runs', () => {
    const state = second();
    const decision = settleAttempt(state, answer(1), budget);
    assert.deepEqual(types(decision), ['PromptCompleted']);
    assert.deepEqual(outbox(decision), { op: 'close' });
    const closing = apply(state, decision);
    const rest = settleAttempt(closing, answer(2), budget);
    assert.deepEqual(types(rest), ['AttemptDiscarded']);
    assert.deepEqual(outbox(rest), { op: 'drop' });
    assert.deepEqual(
      apply(closing, rest).attempts.map((attempt) => attempt.nanoUsd),
      [700, 700],
    );
  });

  test('a late failure changes no state and brings only its cost', () => {
    const state = second();
    const decision = settleAttempt(state, failure(1, 'retry'), budget);
    assert.deepEqual(types(decision), ['AttemptDiscarded']);
    assert.equal(outbox(decision), null);
    const after = apply(state, decision);
    assert.equal(after.status, 'running');
    assert.deepEqual([after.attempts[0]?.nanoUsd, after.attempts[0]?.boundNanoUsd], [0, null]);
  });

  test('a cost recorded as unknown becomes known by the worker’s own late word, once and under a key of its own', () => {
    const running = start(given(submitted()));
    const cancelled = apply(running, cancel(running, 'user:ada'));
    const givenUp = settle(cancelled, failure(1, 'lost'));
    assert.deepEqual([givenUp.attempts[0]?.nanoUsd, givenUp.attempts[0]?.boundNanoUsd], [null, 1_000]);
    for (const word of [answer(1), failure(1, 'retry')]) {
      const decision = settleAttempt(givenUp, word, budget) as Decision;
      assert.deepEqual(
        decision.events.map(({ key, type }) => [key, type]),
        [['cost/1', 'AttemptDiscarded']],
      );
      assert.equal(decision.outbox, null, 'its row is gone');
      const after = apply(givenUp, decision);
      assert.equal(after.status, 'cancelled');
      assert.deepEqual([after.attempts[0]?.nanoUsd, after.attempts[0]?.boundNanoUsd], [word.charge.nanoUsd, null]);
      assert.equal(types(settleAttempt(after, word, budget)), 'recorded');
    }
    assert.equal(types(settleAttempt(givenUp, failure(1, 'unknown'), budget)), 'recorded', 'nothing new is known');
    assert.equal(types(settleAttempt(givenUp, failure(1, 'lost'), budget)), 'recorded');
  });

  test('a cost that its own worker did not know becomes known while the prompt goes on, and changes nothing else', () => {
    const waiting = settle(start(given(submitted())), failure(1, 'unknown'));
    const decision = settleAttempt(waiting, { ...failure(1, 'retry'), charge: paid }, budget) as Decision;
    assert.deepEqual(
      [types(decision), decision.outbox, decision.events[0]?.key],
      [['AttemptDiscarded'], null, 'cost/1'],
    );
    const after = apply(waiting, decision);
    assert.deepEqual([after.status, after.attempts[0]?.nanoUsd], ['retrying', 700]);
  });

  test('a cost once known is not changed by another word', () => {
    const done = settle(settle(second(), answer(1)), answer(2));
    assert.equal(types(settleAttempt(done, { ...answer(2), charge: { ...paid, nanoUsd: 1 } }, budget)), 'recorded');
  });
});

describe('a cost that is put right', () => {
  const to = (nanoUsd: number, attempt = 1) => ({ attempt, nanoUsd, reason: 'bill', by: 'user:root' });

  test('replaces what was known, or that nothing was, and changes nothing else', () => {
    const completed = settle(start(given(submitted())), answer(1));
    const corrected = apply(completed, correctCost(completed, to(7)));
    assert.deepEqual(corrected.attempts[0], { ...completed.attempts[0], nanoUsd: 7, boundNanoUsd: null });
    assert.deepEqual([corrected.status, corrected.finishedAt], ['completed', completed.finishedAt]);
    const lost = settle(start(given(submitted())), failure(1, 'lost'));
    assert.deepEqual(spendOf(apply(lost, correctCost(lost, to(8)))).wasted, 8);
  });

  test('stays, whatever its worker says later', () => {
    const lost = settle(start(given(submitted())), failure(1, 'lost'));
    const corrected = apply(lost, correctCost(lost, to(8)));
    const completed = settle(corrected, answer(1));
    assert.deepEqual(
      [completed.status, completed.attempts[0]?.end, completed.attempts[0]?.nanoUsd],
      ['completed', 'answered', 8],
    );
  });

  test('is of an attempt that has ended, and is news', () => {
    const running = start(given(submitted()));
    assert.equal(types(correctCost(running, to(7))), 'running');
    const completed = settle(running, answer(1));
    assert.equal(types(correctCost(completed, to(7, 2))), 'unknown_attempt');
    const corrected = apply(completed, correctCost(completed, to(7)));
    assert.equal(types(correctCost(corrected, to(7))), 'recorded');
    const again = correctCost(corrected, to(9)) as Decision;
    assert.notEqual(again.events[0]?.key, (correctCost(completed, to(7)) as Decision).events[0]?.key);
  });
});

describe('cancel, expire, requeue', () => {
  test('a waiting prompt is dropped, a running one stays until its attempt is accounted for', () => {
    const waiting = given(submitted());
    assert.deepEqual(outbox(cancel(waiting, 'user:ada')), { op: 'drop' });
    const running = start(waiting);
    const cancelled = apply(running, cancel(running, 'user:ada'));
    assert.equal(cancelled.status, 'cancelled');
    assert.deepEqual(outbox(cancel(running, 'user:ada')), { op: 'close' });
    const stopped = settleAttempt(cancelled, failure(1, 'unknown'), budget);
    assert.deepEqual([types(stopped), outbox(stopped)], [['AttemptDiscarded'], { op: 'drop' }]);
    assert.equal(types(cancel(cancelled, 'user:ada')), 'terminal');
  });

  test('expiry never cuts a running attempt', () => {
    const waiting = given(submitted({ expiresAt: '2026-01-02T00:00:00.000Z' }));
    assert.deepEqual(types(expire(waiting)), ['PromptExpired']);
    assert.equal(types(expire(start(waiting))), 'running');
  });

  test('a redriven prompt has a new budget, goes on counting attempts, and can end again', () => {
    let state = start(given(submitted()));
    state = settle(state, failure(1, 'failed'));
    assert.equal(types(requeue(given(submitted()), 'user:ada', null, '2026-01-01T01:00:00Z')), 'not_failed');
    const again = apply(state, requeue(state, 'user:ada', 'key renewed', '2026-01-01T01:00:00Z'));
    assert.deepEqual([again.status, again.generation, again.error], ['queued', 1, null]);
    const running = start(again);
    assert.equal(running.attempts.at(-1)?.attempt, 2);
    const [ended] = (settleAttempt(running, answer(2), budget) as Decision).events;
    assert.equal(ended?.key, 'terminal/1');
  });

  test('a redrive after its time is refused', () => {
    const state = settle(start(given(submitted({ expiresAt: '2026-01-01T00:30:00.000Z' }))), failure(1, 'failed'));
    assert.equal(types(requeue(state, 'user:ada', null, '2026-01-01T01:00:00Z')), 'expired');
  });
});

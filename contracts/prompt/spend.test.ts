import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settleAttempt, startAttempt } from './decide.ts';
import { apply, given, submitted } from './spec.ts';
import { isEmulated, spendOf } from './spend.ts';
import type { PromptState } from './state.ts';
import { toPrompt } from './view.ts';

const budget = { maxAttempts: 9, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 };
const usage = { inputTokens: 1, cachedInputTokens: 0, outputTokens: 1, thoughtTokens: 0, totalTokens: 2 };
type Cost = { nanoUsd: number | null; boundNanoUsd?: number; emulated?: boolean };

function attempt(state: PromptState, end: 'completed' | 'retry' | 'lost', cost: Cost): PromptState {
  const number = state.attempts.length + 1;
  const token = `t${number}`;
  const { nanoUsd, boundNanoUsd = null, emulated = false } = cost;
  const charge = {
    usage: nanoUsd === null ? null : usage,
    rawUsage: null,
    nanoUsd,
    boundNanoUsd,
    priceVersion: 'p',
    emulated,
  };
  const answer = {
    answer: 'a',
    encoding: 'plain',
    finishReason: 'STOP',
    truncated: false,
    modelVersion: null,
  } as const;
  const started = apply(state, startAttempt(state, { token, worker: 'w' }));
  const result =
    end === 'completed'
      ? { attempt: number, token, charge, end, ...answer }
      : { attempt: number, token, charge, end, code: 'x', message: 'x' };
  return apply(started, settleAttempt(started, result, budget));
}
const spendShown = (state: PromptState) => toPrompt(state, { prompt: '', answer: null }).spend;
const usd = (nanoUsd: number) => ({ nanoUsd, usd: nanoUsd === 0 ? '0' : `0.00000000${nanoUsd}` });

test('what was used, what was not and what nobody knows are three sums', () => {
  let state = given(submitted());
  state = attempt(state, 'retry', { nanoUsd: 3 });
  state = attempt(state, 'lost', { nanoUsd: null, boundNanoUsd: 9 });
  state = attempt(state, 'lost', { nanoUsd: null });
  state = attempt(state, 'completed', { nanoUsd: 5 });
  assert.deepEqual(spendOf(state), {
    confirmed: 5,
    wasted: 3,
    unknownBound: 9,
    unknown: 2,
    unbounded: 1,
    notional: false,
  });
  assert.deepEqual(spendShown(state), {
    confirmed: usd(5),
    wasted: usd(3),
    unknownBound: usd(9),
    unknownAttempts: 2,
    notional: false,
  });
});

test('an attempt that runs has no cost yet', () => {
  const state = given(submitted());
  const running = apply(state, startAttempt(state, { token: 't', worker: 'w' }));
  assert.deepEqual(spendOf(running), {
    confirmed: 0,
    wasted: 0,
    unknownBound: 0,
    unknown: 0,
    unbounded: 0,
    notional: false,
  });
});

test('an emulated answer’s cost is notional, and so is the prompt’s spend', () => {
  const state = attempt(given(submitted()), 'completed', { nanoUsd: 5, emulated: true });
  const view = toPrompt(state, { prompt: '', answer: null });
  assert.deepEqual(view.cost, { nanoUsd: 5, usd: '0.000000005', priceVersion: 'p', notional: true });
  assert.equal(view.spend.notional, true);
  const real = attempt(given(submitted()), 'completed', { nanoUsd: 5 });
  assert.equal(toPrompt(real, { prompt: '', answer: null }).cost?.notional, false);
});

test('beside what a real key was paid an emulated attempt is no money, in either order', () => {
  const begun = attempt(given(submitted()), 'retry', { nanoUsd: 3, emulated: true });
  assert.deepEqual([isEmulated(begun), spendOf(begun).wasted, spendOf(begun).notional], [true, 3, true]);
  const answered = attempt(begun, 'completed', { nanoUsd: 5 });
  const { confirmed, wasted, notional } = spendOf(answered);
  assert.deepEqual([isEmulated(answered), confirmed, wasted, notional], [false, 5, 0, false]);
  assert.deepEqual(
    [spendShown(answered).notional, toPrompt(answered, { prompt: '', answer: null }).emulated],
    [false, false],
  );

  const paid = attempt(given(submitted()), 'retry', { nanoUsd: 7 });
  const made = attempt(paid, 'completed', { nanoUsd: 5, emulated: true });
  const spend = spendOf(made);
  assert.deepEqual([spend.confirmed, spend.wasted, spend.notional], [0, 7, false]);
  assert.equal(isEmulated(made), true, 'whoever reads the answer is told');
});

test('an attempt of which nobody knows who was called makes no answer of the emulator a real one', () => {
  const lost = attempt(given(submitted()), 'lost', { nanoUsd: null, boundNanoUsd: 9 });
  const made = attempt(lost, 'completed', { nanoUsd: 5, emulated: true });
  const spend = spendOf(made);
  assert.deepEqual([isEmulated(made), spend.confirmed, spend.unknownBound, spend.notional], [true, 5, 9, true]);
});

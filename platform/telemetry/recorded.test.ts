import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NewEvent } from '../../contracts/prompt/decide.ts';
import { type RecordObserver, tellRecorded } from './recorded.ts';

describe('what is on record tells', () => {
  const usage = { inputTokens: 5, cachedInputTokens: 0, outputTokens: 7, thoughtTokens: 0, totalTokens: 12 };
  const subject = { userId: 'ada', model: 'm', submittedAt: '2026-06-01T10:00:00.000Z' };
  const charge = { usage, rawUsage: null, nanoUsd: 9, boundNanoUsd: null, priceVersion: 'p', emulated: false };
  const attempt = { ...subject, ...charge, attempt: 1, token: 't' };
  const told = (events: object[]) => {
    const calls: [string, object][] = [];
    const note = (name: string) => (fields: object) => void calls.push([name, fields]);
    const observer: Partial<RecordObserver> = {
      onFailure: note('failure'),
      onCharged: note('charged'),
      onEnded: note('ended'),
    };
    tellRecorded(observer, events as NewEvent[]);
    return calls;
  };
  const charged = { model: 'm', usage, nanoUsd: 9, boundNanoUsd: null, emulated: false };

  test('of an answer: its cost is confirmed, its prompt has ended', () => {
    assert.deepEqual(told([{ type: 'PromptCompleted', data: attempt }]), [
      ['charged', { ...charged, account: 'confirmed' }],
      ['ended', { model: 'm', status: 'completed' }],
    ]);
  });

  test('of a failure: its cost is wasted, and whether another attempt is due', () => {
    const failed = {
      type: 'AttemptFailed',
      data: { ...attempt, end: 'retry', code: 'provider_503', retryInSeconds: 2 },
    };
    assert.deepEqual(told([failed]), [
      ['failure', { model: 'm', code: 'provider_503', retried: true }],
      ['charged', { ...charged, account: 'wasted' }],
    ]);
    const last = { ...failed, data: { ...failed.data, retryInSeconds: null } };
    assert.deepEqual(told([last, { type: 'PromptFailed', data: subject }]), [
      ['failure', { model: 'm', code: 'provider_503', retried: false }],
      ['charged', { ...charged, account: 'wasted' }],
      ['ended', { model: 'm', status: 'failed' }],
    ]);
  });

  test('of a late answer: nothing but its cost', () => {
    assert.deepEqual(told([{ type: 'AttemptDiscarded', data: { ...attempt, code: 'late_answer' } }]), [
      ['charged', { ...charged, account: 'wasted' }],
    ]);
  });
});

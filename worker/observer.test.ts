import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PromptState } from '../contracts/prompt/state.ts';
import { queueWaitOf } from './observer.ts';

const state = (of: Partial<PromptState>): PromptState =>
  ({
    attempts: [{ attempt: 1 }],
    notBefore: null,
    submittedAt: '2026-06-01T10:00:00.000Z',
    startedAt: '2026-06-01T10:00:02.500Z',
    ...of,
  }) as PromptState;

describe('the wait in the queue', () => {
  test('is from the submission to the first attempt', () => assert.equal(queueWaitOf(state({})), 2.5));
  test('does not begin before the prompt is due', () => {
    assert.equal(queueWaitOf(state({ notBefore: '2026-06-01T10:00:02.000Z' })), 0.5);
    assert.equal(queueWaitOf(state({ notBefore: '2026-05-01T10:00:00.000Z' })), 2.5);
  });
  test('is of no later attempt', () => {
    assert.equal(queueWaitOf(state({ attempts: [{}, {}] as PromptState['attempts'] })), null);
  });
});

/** Whole histories of prompts in a log, for tests of what reads it. */

import type { RecordedEvent } from '../../contracts/envelope.ts';
import {
  type AttemptResult,
  cancel,
  correctCost,
  type Decision,
  expire,
  isRefusal,
  type Refusal,
  requeue,
  settleAttempt,
  startAttempt,
} from '../../contracts/prompt/decide.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import { newId } from '../../platform/ids.ts';
import type { Append, AppendEvents, AppendResult } from '../../platform/postgres/append.ts';
import { toAppend } from '../../platform/postgres/decision.ts';

const metadata = { correlationId: 'test', causationId: null, traceparent: null, actor: 'user:test' };
const budget = { maxAttempts: 3, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 };

/** Of user `user-<n % 5>`: answered, answered after a failure, blocked, lost and answered late, or cancelled while running. */
export async function appendHistory(append: AppendEvents, n: number): Promise<string> {
  const { promptId, state, add, start, settle } = await open(append, n);
  const first = await start();
  switch (n % 5) {
    case 1:
      await settle(1, first, 'retry');
      await settle(2, await start(), 'completed');
      break;
    case 2:
      await settle(1, first, 'failed');
      break;
    case 3: {
      await settle(1, first, 'lost');
      const second = await start();
      await settle(1, first, 'completed');
      await settle(2, second, 'completed');
      break;
    }
    case 4:
      await add(cancel(state(), 'user:test'));
      await settle(1, first, 'retry');
      break;
    default:
      await settle(1, first, 'completed');
  }
  return promptId;
}

/**
 * Of the same users, what is seldom: costs put right (known and unknown ones), failed and sent again once or twice, expired,
 * scheduled, or claimed without a call, parked and running still.
 */
export async function appendRareHistory(append: AppendEvents, n: number): Promise<string> {
  const later = new Date(Date.now() + 86_400_000).toISOString();
  const kind = n % 7;
  const over = { ...(kind === 4 && { expiresAt: later }), ...(kind === 5 && { notBefore: later }) };
  const { promptId, state, add, start, settle } = await open(append, n, over);
  const correct = (attempt: number, nanoUsd: number) =>
    add(correctCost(state(), { attempt, nanoUsd, reason: 'the bill', by: 'user:root' }));
  const again = () => add(requeue(state(), 'user:root', null, new Date().toISOString()));
  switch (kind) {
    case 0:
      await settle(1, await start(), 'completed');
      await correct(1, 7 + n);
      await correct(1, 0);
      break;
    case 1:
      await settle(1, await start(), 'unknown');
      await settle(2, await start(), 'completed');
      await correct(1, 300 + n);
      break;
    case 2:
      await settle(1, await start(), 'failed');
      await again();
      await settle(2, await start(), 'completed');
      break;
    case 3:
      await settle(1, await start(), 'failed');
      await again();
      await settle(2, await start(), 'failed');
      await correct(1, 5);
      await again();
      break;
    case 4:
      await add(expire(state()));
      break;
    case 5:
      if (n % 2 === 0) await add(cancel(state(), 'user:test'));
      break;
    default:
      await settle(1, await start(), 'not_called');
      await settle(2, await start(), 'parked');
      await start();
  }
  return promptId;
}

type End = 'completed' | 'retry' | 'failed' | 'lost' | 'unknown' | 'not_called' | 'parked';

async function open(append: AppendEvents, n: number, over: Partial<typeof submission> = {}) {
  const promptId = newId();
  const data = {
    ...submission,
    userId: `user-${n % 5}`,
    model: n % 3 ? 'gemini-2.5-flash' : 'gemini-2.5-pro',
    prompt: `question ${n} about the sea`,
    ...over,
  };
  const events = [{ eventId: newId(), type: 'PromptSubmitted' as const, data, metadata }];
  let state = await put(append, null, { streamId: promptId, expectedVersion: 0, events, outbox: null });
  const add = async (decision: Decision | Refusal) => {
    if (isRefusal(decision)) throw new Error(decision.refused);
    state = await put(append, state, toAppend(state, { ...decision, outbox: null }, metadata));
  };
  return {
    promptId,
    state: () => state,
    add,
    start: async () => {
      const token = newId();
      await add(startAttempt(state, { token, worker: 'w' }));
      return token;
    },
    settle: (attempt: number, token: string, end: End) =>
      add(settleAttempt(state, result(attempt, token, end, n), budget)),
  };
}

function result(attempt: number, token: string, end: End, n: number): AttemptResult {
  const usage = {
    inputTokens: 100 + n,
    cachedInputTokens: 10,
    outputTokens: 20 + n,
    thoughtTokens: 5,
    totalTokens: 125 + 2 * n,
  };
  const known = {
    usage,
    rawUsage: {},
    nanoUsd: 1_000 + n,
    boundNanoUsd: null,
    priceVersion: 'test@1',
    emulated: n % 2 === 0,
  };
  const isUnknown = end === 'lost' || end === 'unknown';
  const wasCalled = end !== 'not_called' && end !== 'parked';
  const charge = isUnknown
    ? { ...known, usage: null, nanoUsd: null, boundNanoUsd: 5_000 }
    : wasCalled
      ? known
      : { ...known, usage: null, nanoUsd: 0 };
  if (end !== 'completed') return { attempt, token, charge, end, code: 'test', message: 'made so' };
  return {
    attempt,
    token,
    charge,
    end,
    answer: `answer ${n}`,
    encoding: 'plain',
    finishReason: 'STOP',
    truncated: false,
    modelVersion: 'm',
  };
}

async function put(append: AppendEvents, before: PromptState | null, toPut: Append): Promise<PromptState> {
  const answer: AppendResult = await append(toPut);
  if (answer.status !== 'appended') throw new Error(`not appended: ${JSON.stringify(answer)}`);
  const first = answer.version - toPut.events.length + 1;
  const recorded = toPut.events.map(
    ({ type, data }, i) =>
      ({
        type,
        data,
        streamId: toPut.streamId,
        version: first + i,
        position: answer.position - toPut.events.length + 1 + i,
        recordedAt: answer.recordedAt,
      }) as RecordedEvent,
  );
  return fold(recorded, before)!;
}

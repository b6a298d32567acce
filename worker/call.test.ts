import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeText } from '../contracts/answer-text.ts';
import type { EventData } from '../contracts/prompt/events.ts';
import { given, PROMPT_ID, submission, submitted } from '../contracts/prompt/spec.ts';
import { type CallOptions, callProvider } from './call.ts';
import type { Claim } from './claim.ts';
import type { Completed, GenerateContext, GenerateRequest, Outcome } from './providers/provider.ts';

const TOKEN = '01900000-0000-7000-8000-0000000000aa';
const NOW = new Date('2026-05-01T00:00:00.000Z');
const usage = { inputTokens: 10, cachedInputTokens: 2, outputTokens: 5, thoughtTokens: 1, totalTokens: 16 };
const rawUsage = { promptTokenCount: 10, more: [{ modality: 'TEXT' }] };
const known = { known: true, usage, rawUsage } as const;
const unknown = { known: false, rawUsage: null } as const;
const nothing = { known: true, usage: null, rawUsage: null } as const;
const completed: Completed = {
  type: 'completed',
  answer: 'blue',
  finishReason: 'STOP',
  truncated: false,
  billing: known,
  modelVersion: 'm-1',
  emulated: false,
};
const failed = { type: 'failed', code: 'blocked', message: 'no', finishReason: null, emulated: false } as const;

type Generate = (request: GenerateRequest, context: GenerateContext) => Promise<Outcome>;

async function call(generate: Generate, over: Partial<CallOptions> = {}, asked: Partial<typeof submission> = {}) {
  const request: EventData<'PromptSubmitted'> = { ...submission, ...asked };
  const state = given(submitted(asked));
  const claim: Claim = { state, request, attempt: 2, token: TOKEN, traceparent: null, correlationId: 'c', late: false };
  const controller = new AbortController();
  const called = await callProvider(claim, controller, {
    provider: { name: 'test', generate },
    priceOf: () => ({ nanoUsd: 77, priceVersion: 'test@2' }),
    callTimeoutSeconds: 60,
    now: () => NOW,
    ...over,
  });
  return { ...called, signal: controller.signal };
}

describe('a provider is asked', () => {
  test('for what was submitted, without what was not set, under the attempt’s name', async () => {
    const asked: GenerateRequest[] = [];
    const generate: Generate = async (request) => {
      asked.push(request);
      return completed;
    };
    await call(generate);
    await call(generate, {}, { system: 'be brief', temperature: 0, maxOutputTokens: 9 });
    const { model, prompt } = submission;
    const attemptId = `${PROMPT_ID}/2`;
    assert.deepEqual(asked, [
      { model, prompt, attemptId },
      { model, prompt, system: 'be brief', temperature: 0, maxOutputTokens: 9, attemptId },
    ]);
  });

  test('and given up five seconds after its deadline when it does not end: nobody knows what came of it', async (c) => {
    c.mock.timers.enable({ apis: ['setTimeout'] });
    const { result } = await call(() => {
      c.mock.timers.tick(60_000);
      queueMicrotask(() => c.mock.timers.tick(5_000));
      return new Promise(() => {});
    });
    assert.deepEqual([result.end, 'code' in result && result.code], ['unknown', 'deadline']);
    assert.deepEqual([result.charge.nanoUsd, result.charge.boundNanoUsd], [null, submission.costBound]);
  });

  test('to stop at its deadline, and never after its end', async (c) => {
    c.mock.timers.enable({ apis: ['setTimeout'] });
    const late = await call(async (_request, { signal }) => {
      c.mock.timers.tick(59_999);
      assert.equal(signal.aborted, false);
      c.mock.timers.tick(1);
      assert.deepEqual([signal.aborted, signal.reason], [true, 'deadline']);
      return completed;
    });
    assert.equal(late.result.end, 'completed'); // an answer in spite of it was paid for
    const { signal } = await call(async () => completed);
    c.mock.timers.tick(1_000_000);
    assert.equal(signal.aborted, false);
  });
});

describe('an outcome', () => {
  test('that completes carries the answer and its price at the time of the call', async () => {
    const priced: unknown[] = [];
    const times = [NOW, new Date('2027-01-01T00:00:00.000Z')];
    const { result, park } = await call(async () => completed, {
      now: () => times.shift() ?? new Date(0),
      priceOf: (...args) => {
        priced.push(args);
        return { nanoUsd: 42, priceVersion: 'test@2' };
      },
    });
    const charge = { usage, rawUsage, nanoUsd: 42, boundNanoUsd: null, priceVersion: 'test@2', emulated: false };
    const { finishReason, truncated, modelVersion } = completed;
    const words = { answer: 'blue', encoding: 'plain', finishReason, truncated, modelVersion };
    assert.deepEqual(result, { attempt: 2, token: TOKEN, charge, end: 'completed', ...words });
    assert.deepEqual(priced, [[submission.model, usage, NOW]]);
    assert.equal(park, null);
  });

  test('of which nothing was billed costs 0', async () => {
    const { result } = await call(async () => ({ ...failed, billing: nothing }));
    const free = { usage: null, rawUsage: null, nanoUsd: 0, boundNanoUsd: null, priceVersion: null, emulated: false };
    assert.deepEqual(result.charge, free);
    assert.deepEqual([result.end, 'code' in result && result.code], ['failed', 'blocked']);
  });

  test('whose bill nobody knows costs at most the bound set when it was submitted, never 0', async () => {
    const bound = { nanoUsd: null, boundNanoUsd: 1_000, priceVersion: 'test@1', emulated: true };
    const cut = { type: 'unknown', code: 'cut', message: 'cut', emulated: true } as const;
    const { result } = await call(async () => ({ ...cut, billing: { known: false, rawUsage: { odd: -1 } } }));
    assert.deepEqual(result.charge, { usage: null, rawUsage: { odd: -1 }, ...bound });
    const unpriced = await call(async () => ({ ...completed, emulated: true }), { priceOf: () => null });
    assert.deepEqual(unpriced.result.charge, { usage, rawUsage, ...bound });
  });

  test('to be tried again carries the provider’s wish, a parked model its own', async () => {
    const retry = { type: 'retry', code: 'rate_limited', message: 'slow', billing: nothing, emulated: false } as const;
    const wish = await call(async () => ({ ...retry, afterSeconds: 1.25 }));
    assert.deepEqual([wish.result.end, 'afterSeconds' in wish.result && wish.result.afterSeconds], ['retry', 1.25]);
    assert.equal(wish.park, null);
    const none = await call(async () => retry);
    assert.equal('afterSeconds' in none.result, false);
    const park = { reason: 'daily_quota', seconds: 3_600 } as const;
    const parked = await call(async () => ({ ...retry, afterSeconds: 1, park }));
    assert.deepEqual(
      [parked.result.end, 'afterSeconds' in parked.result && parked.result.afterSeconds, parked.park],
      ['parked', 3_600, park],
    );
  });

  test('is unknown when the provider throws, whatever it throws, and does not repeat its words', async () => {
    const faults = [
      () => Promise.reject(new TypeError('key=secret')),
      () => Promise.reject('secret'),
      () => Promise.reject(undefined),
      () => {
        throw new Error('secret, at once');
      },
    ];
    for (const generate of faults) {
      const { result, park } = await call(generate);
      assert.deepEqual([result.end, 'code' in result && result.code, park], ['unknown', 'provider_fault', null]);
      assert.deepEqual([result.charge.nanoUsd, result.charge.boundNanoUsd], [null, 1_000]);
      assert.ok(!JSON.stringify(result).includes('secret'));
    }
  });
});

describe('text of foreign origin', () => {
  const hostile = 'a\u0000b\ud800c\udc00d😀';

  /** Postgres refuses U+0000 and lone surrogates in jsonb, in values and in keys. */
  function assertStorable(value: unknown, path = 'result'): void {
    if (typeof value === 'string') {
      assert.ok(value.isWellFormed() && !value.includes('\u0000'), `${path}: ${JSON.stringify(value)}`);
    } else if (value !== null && typeof value === 'object') {
      for (const [key, inner] of Object.entries(value)) {
        assertStorable(key, `${path}, a key`);
        assertStorable(inner, `${path}.${key}`);
      }
    }
  }

  test('in an answer is kept without loss', async () => {
    const { result } = await call(async () => ({ ...completed, answer: hostile }));
    assertStorable(result);
    assert.ok(result.end === 'completed');
    assert.equal(decodeText({ text: result.answer, encoding: result.encoding }), hostile);
  });

  test('in a message or in the values of a usage block is made storable', async () => {
    const billing = { known: false, rawUsage: { a: [hostile], n: 1.5, none: null } } as const;
    for (const type of ['failed', 'unknown', 'retry'] as const) {
      const { result } = await call(async () => ({ ...failed, type, message: hostile, billing }) as Outcome);
      assertStorable(result);
      assert.equal('message' in result && result.message, 'a\ufffdb\ufffdc\ufffdd😀');
      assert.deepEqual(result.charge.rawUsage, { a: ['a\ufffdb\ufffdc\ufffdd😀'], n: 1.5, none: null });
    }
  });

  test('in the keys of a usage block is made storable', async () => {
    const { result } = await call(async () => ({ ...completed, billing: { ...known, rawUsage: { [hostile]: 1 } } }));
    assertStorable(result);
  });

  test('in a finish reason, a model version or a code is made storable', async () => {
    const answered = await call(async () => ({ ...completed, finishReason: hostile, modelVersion: hostile }));
    assertStorable(answered.result);
    const refused = await call(async () => ({ ...failed, code: hostile, billing: unknown }));
    assertStorable(refused.result);
  });
});

/** The emulator as Google's own SDK sees it, with nothing of ours between. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ApiError, type GenerateContentResponse, GoogleGenAI } from '@google/genai';
import { until } from '../kit/until.ts';
import { type Emulator, startEmulator } from './emulator.ts';
import type { Fault } from './faults.ts';

const MODEL = 'gemini-2.5-flash';
const TEXT = 'one two three four five six';
let emulator: Emulator;
let sdk: GoogleGenAI;
before(async () => {
  emulator = await startEmulator();
  sdk = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: emulator.url } });
});
after(() => emulator.close());
beforeEach(() => emulator.billing.clear());

const directive = (settings: object) => `say it [[emulate ${JSON.stringify({ text: TEXT, ...settings })}]]`;
const whole = (fault: Fault) => sdk.models.generateContent({ model: MODEL, contents: directive({ fault }) });

/** What came of a stream, and what ended it if it did not end by itself. */
async function streamed(settings: object): Promise<{ chunks: GenerateContentResponse[]; error: unknown }> {
  const chunks: GenerateContentResponse[] = [];
  try {
    const stream = await sdk.models.generateContentStream({ model: MODEL, contents: directive(settings) });
    for await (const chunk of stream) chunks.push(chunk);
  } catch (error) {
    return { chunks, error };
  }
  return { chunks, error: null };
}
const calls = () => emulator.billing.entries().length;

describe('the SDK', () => {
  test('gets text, usage, finish and model, streamed and not', async () => {
    const settings = { inputTokens: 374, outputTokens: 44, thoughtTokens: 7, cachedTokens: 4, chunks: 4 };
    const one = await sdk.models.generateContent({ model: MODEL, contents: directive(settings) });
    const { chunks, error } = await streamed(settings);
    assert.equal(error, null);
    assert.equal(chunks.length, 4);
    assert.equal(chunks.map(({ text }) => text).join(''), TEXT);
    assert.equal(one.text, TEXT);
    for (const answer of [one, chunks.at(-1)]) {
      const { promptTokenCount, candidatesTokenCount, thoughtsTokenCount, cachedContentTokenCount, totalTokenCount } =
        answer?.usageMetadata ?? {};
      assert.deepEqual(
        [promptTokenCount, candidatesTokenCount, thoughtsTokenCount, cachedContentTokenCount, totalTokenCount],
        [374, 44, 7, 4, 425],
      );
      assert.equal(answer?.candidates?.[0]?.finishReason, 'STOP');
      assert.equal(answer?.modelVersion, `${MODEL}-emulated`);
      assert.ok(answer?.responseId);
    }
  });

  test('counts tokens as the answer does, and counting is no call of a model', async () => {
    const contents = 'How many tokens has this?';
    const { totalTokens } = await sdk.models.countTokens({ model: MODEL, contents });
    assert.deepEqual(emulator.billing.totals(), {});
    const { usageMetadata } = await sdk.models.generateContent({ model: MODEL, contents });
    assert.equal(totalTokens, usageMetadata?.promptTokenCount);
    assert.ok((totalTokens ?? 0) > 1);
  });

  test('is cut at maxOutputTokens', async () => {
    const config = { maxOutputTokens: 3 };
    const answer = await sdk.models.generateContent({ model: MODEL, contents: directive({}), config });
    assert.equal(answer.candidates?.[0]?.finishReason, 'MAX_TOKENS');
    assert.equal(answer.usageMetadata?.candidatesTokenCount, 3);
    assert.ok(TEXT.startsWith(answer.text ?? 'nothing') && answer.text !== TEXT);
  });
});

describe('a refusal, to the SDK,', () => {
  const statuses = {
    '429': 429,
    '429-daily': 429,
    '429-bare': 429,
    '429-spend': 429,
    '402': 402,
    '500': 500,
    '503': 503,
    '504': 504,
    'bad-key': 400,
    '403': 403,
    '404': 404,
    '503-html': 503,
  } as const satisfies Partial<Record<Fault, number>>;
  for (const [fault, status] of Object.entries(statuses)) {
    test(`is an ApiError ${status} after one call: ${fault}`, async () => {
      await assert.rejects(whole(fault as Fault), (error) => error instanceof ApiError && error.status === status);
      const { error, chunks } = await streamed({ fault });
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, chunks.length, calls()], [status, 0, 2]);
    });
  }

  test('has the details only inside its message: RetryInfo as asked for, a proxy’s page as it is', async () => {
    const { error } = await streamed({ fault: '429', retryDelay: '0.25s' });
    assert.match((error as Error).message, /RetryInfo.*retryDelay.*0\.25s/s);
    await assert.rejects(whole('503-html'), /<html>/);
  });
});

describe('an answer that is none, to the SDK,', () => {
  const finishes = {
    safety: 'SAFETY',
    recitation: 'RECITATION',
    prohibited: 'PROHIBITED_CONTENT',
    spii: 'SPII',
    'unknown-finish': 'SOMETHING_NEW',
    'max-tokens-empty': 'MAX_TOKENS',
  } as const satisfies Partial<Record<Fault, string>>;
  for (const [fault, finishReason] of Object.entries(finishes)) {
    test(`has no text and finishes with ${finishReason}: ${fault}`, async () => {
      const { chunks, error } = await streamed({ fault });
      assert.equal(error, null);
      const one = await whole(fault as Fault);
      for (const answer of [one, chunks.at(-1)])
        assert.deepEqual([answer?.text, answer?.candidates?.[0]?.finishReason], [undefined, finishReason]);
    });
  }

  test('has no candidate: empty, and blocked, which says why', async () => {
    const [empty, blocked] = [await whole('empty'), await whole('blocked')];
    assert.deepEqual([empty.text, empty.candidates, empty.promptFeedback], [undefined, undefined, undefined]);
    assert.deepEqual([blocked.text, blocked.promptFeedback?.blockReason], [undefined, 'SAFETY']);
  });
});

describe('a stream that is cut, to the SDK,', () => {
  const first = TEXT.slice(0, 10);
  test('ends as if it were whole, but has no finishReason: cut-at-event', async () => {
    const { chunks, error } = await streamed({ fault: 'cut-at-event' });
    assert.equal(error, null);
    assert.deepEqual(
      chunks.map((chunk) => [chunk.text, chunk.candidates?.[0]?.finishReason]),
      [[first, undefined]],
    );
  });

  const ends: Partial<Record<Fault, (error: unknown) => boolean>> = {
    'cut-in-event': (error) => /Incomplete JSON segment/.test(String(error)),
    'error-appended': (error) => error instanceof ApiError || /Incomplete JSON segment/.test(String(error)),
    'error-as-data': (error) => error instanceof ApiError && error.status === 503,
    'bad-json': (error) => error instanceof SyntaxError,
    'reset-body': (error) => error instanceof TypeError && error.message === 'terminated',
  };
  for (const [fault, isIt] of Object.entries(ends)) {
    test(`gives the first piece, then its own kind of error: ${fault}`, async () => {
      const { chunks, error } = await streamed({ fault });
      assert.deepEqual(
        chunks.map((chunk) => chunk.text),
        [first],
      );
      assert.ok(isIt(error), String(error));
      assert.equal(calls(), 1);
    });
  }

  test('or an answer, before it began, is “fetch failed” for a reset, a SyntaxError for half a body', async () => {
    await assert.rejects(whole('reset'), (error: Error) => /fetch failed/.test(error.message));
    await assert.rejects(whole('malformed'), SyntaxError);
    assert.equal(calls(), 2);
  });
});

describe('a call that hangs', () => {
  for (const fault of ['hang', 'hang-body'] as const) {
    test(`ends for the SDK by its timeout and by an abort alike, and is charged (${fault})`, async () => {
      const generate = (config: object) =>
        sdk.models.generateContent({ model: MODEL, contents: directive({ fault }), config });
      await assert.rejects(generate({ httpOptions: { timeout: 100 } }), { name: 'AbortError' });
      const gone = new AbortController();
      const aborted = assert.rejects(generate({ abortSignal: gone.signal }), { name: 'AbortError' });
      await until('the call has begun', () => emulator.billing.entries().filter(({ billed }) => billed).length === 2);
      gone.abort();
      await aborted;
      await until('both were seen to leave', () => emulator.billing.entries().every((entry) => entry.clientLeft));
      assert.equal(calls(), 2);
    });
  }
});

/** The emulator by itself, as a client without any SDK sees it. What each fault becomes is tested with the real SDK. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '../kit/until.ts';
import { type Emulator, startEmulator } from './emulator.ts';

let emulator: Emulator;
before(async () => {
  emulator = await startEmulator();
});
after(() => emulator.close());
beforeEach(() => {
  emulator.billing.clear();
  emulator.setBehaviour({});
});

type Generated = {
  candidates?: { content: { parts: { text: string }[] }; finishReason?: string }[];
  usageMetadata?: { promptTokenCount: number; candidatesTokenCount: number; thoughtsTokenCount?: number };
  modelVersion?: string;
};
const directive = (settings: object) => `say something [[emulate ${JSON.stringify(settings)}]]`;
const post = (method: string, prompt: string, init: RequestInit = {}) =>
  fetch(`${emulator.url}/v1beta/models/gemini-2.5-flash:${method}`, {
    method: 'POST',
    headers: { 'x-goog-api-key': 'k', 'content-type': 'application/json' },
    body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: prompt }] }] }),
    ...init,
  });
const generate = async (prompt: string) => (await (await post('generateContent', prompt)).json()) as Generated;
const textOf = ({ candidates }: Generated) => candidates?.[0]?.content.parts.map(({ text }) => text).join('');
const control = (method: string, path: string, body?: object) =>
  fetch(`${emulator.url}/emulator/${path}`, { method, ...(body && { body: JSON.stringify(body) }) });

describe('an answer', () => {
  test('is the same for the same prompt, another for another, and says that it is emulated', async () => {
    const [one, same, other] = await Promise.all([generate('why?'), generate('why?'), generate('how?')]);
    assert.deepEqual(one, same);
    assert.notEqual(textOf(one), textOf(other));
    assert.match(textOf(one) ?? '', /emulated/);
    assert.match(one.modelVersion ?? '', /-emulated$/);
  });

  test('has the text and tokens that its prompt asks for', async () => {
    const answer = await generate(directive({ text: 'forty-two', inputTokens: 7, outputTokens: 11, thoughtTokens: 3 }));
    assert.equal(textOf(answer), 'forty-two');
    const { promptTokenCount, candidatesTokenCount, thoughtsTokenCount } = answer.usageMetadata!;
    assert.deepEqual([promptTokenCount, candidatesTokenCount, thoughtsTokenCount], [7, 11, 3]);
  });

  test('streamed is the same text, in events, with its usage at the end', async () => {
    const prompt = 'tell me a long story about the sea';
    const response = await post('streamGenerateContent?alt=sse', prompt);
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    const events = (await response.text())
      .split(/\r?\n\r?\n/)
      .filter((event) => event !== '')
      .map((event) => JSON.parse(event.replace(/^data: /, '')) as Generated);
    const whole = await generate(prompt);
    assert.equal(events.map(textOf).join(''), textOf(whole));
    assert.deepEqual(events.at(-1)?.usageMetadata, whole.usageMetadata);
    assert.equal(events.at(-1)?.candidates?.[0]?.finishReason, 'STOP');
  });

  test('may be counted beforehand', async () => {
    const counted = (await (await post('countTokens', 'why?')).json()) as { totalTokens: number };
    assert.equal(counted.totalTokens, (await generate('why?')).usageMetadata?.promptTokenCount);
  });
});

describe('a fault', () => {
  test('shows for as many calls as it was asked for, then the answer', async () => {
    const prompt = directive({ fault: '503', times: 2 });
    const statuses = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await post('generateContent', prompt)).status);
    assert.deepEqual(statuses, [503, 503, 200]);
  });

  test('can be set for every call, and taken back', async () => {
    await control('PUT', 'behaviour', { fault: '429' });
    const refused = await post('generateContent', 'why?');
    assert.equal(refused.status, 429);
    assert.match(await refused.text(), /"retryDelay":\s*"1\.5s"/);
    await control('DELETE', 'behaviour');
    assert.equal((await post('generateContent', 'why?')).status, 200);
  });

  test('that nobody knows is refused, by prompt and by control', async () => {
    assert.equal((await post('generateContent', directive({ fault: 'fire' }))).status, 400);
    assert.equal((await control('PUT', 'behaviour', { fault: 'fire' })).status, 400);
    assert.equal((await control('PUT', 'behaviour', { delay: 'long' })).status, 400);
  });
});

test('a call without a key, to no model, or that is not JSON is refused and not billed', async () => {
  const answers = await Promise.all([
    post('generateContent', 'x', { headers: {} }),
    post('generateContent', 'x', { body: '{' }),
    post('paintPicture', 'x'),
    fetch(`${emulator.url}/v1beta/nothing`, { headers: { 'x-goog-api-key': 'k' } }),
  ]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [403, 400, 404, 404],
  );
  assert.deepEqual(emulator.billing.totals(), {});
});

describe('the bill', () => {
  test('has every call with its attempt and tokens', async () => {
    await post('generateContent', directive({ inputTokens: 100, outputTokens: 20 }), {
      headers: { 'x-goog-api-key': 'k', 'x-attempt-id': 'p/1' },
    });
    await post('generateContent', directive({ fault: '500' }));
    const { entries } = (await (await control('GET', 'billing')).json()) as {
      entries: { attemptId: string | null; status: number; billed: boolean; usage: { inputTokens: number } | null }[];
    };
    assert.deepEqual(
      entries.map(({ attemptId, status, billed }) => [attemptId, status, billed]),
      [
        ['p/1', 200, true],
        [null, 500, false],
      ],
    );
  });

  test('has what a client that left would have been charged', async () => {
    const gone = new AbortController();
    const call = post('generateContent', directive({ delayMs: 60_000, outputTokens: 9 }), { signal: gone.signal });
    await until('the call arrived', () => emulator.billing.entries().length === 1);
    gone.abort();
    await assert.rejects(call);
    const entry = await until('the client was seen to leave', () =>
      emulator.billing.entries().find((one) => one.clientLeft),
    );
    assert.equal(entry.billed, true);
  });
});

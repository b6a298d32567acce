/** Who pays for what: the bill, what a directive changes in it, and background interactions. */
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

const HEADERS = { 'x-goog-api-key': 'k', 'content-type': 'application/json' };
const directive = (settings: object) => `say something [[emulate ${JSON.stringify(settings)}]]`;
type Options = { model?: string; signal?: AbortSignal; stream?: boolean; at?: Emulator; headers?: object };
const post = (prompt: string, { model = 'gemini-2.5-flash', signal, stream, at = emulator, headers }: Options = {}) =>
  fetch(`${at.url}/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`, {
    method: 'POST',
    headers: { ...HEADERS, ...headers },
    body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: prompt }] }] }),
    ...(signal && { signal }),
  });

describe('the bill', () => {
  test('adds up for each model by itself, and is empty again when cleared', async () => {
    const tokens = { inputTokens: 100, outputTokens: 20, thoughtTokens: 3 };
    await post(directive(tokens));
    await post(directive(tokens));
    await post(directive({ fault: '503' }));
    await post(directive({ inputTokens: 1, outputTokens: 2 }), { model: 'gemini-2.5-pro' });
    const flash = { calls: 3, billed: 2, inputTokens: 200, outputTokens: 40, thoughtTokens: 6 };
    const pro = { calls: 1, billed: 1, inputTokens: 1, outputTokens: 2, thoughtTokens: 0 };
    assert.deepEqual(emulator.billing.totals(), { 'gemini-2.5-flash': flash, 'gemini-2.5-pro': pro });
    const told = await (await fetch(`${emulator.url}/emulator/billing`)).json();
    assert.deepEqual((told as { totals: object }).totals, emulator.billing.totals());
    assert.equal((await fetch(`${emulator.url}/emulator/billing`, { method: 'DELETE' })).status, 200);
    assert.deepEqual([emulator.billing.totals(), emulator.billing.entries()], [{}, []]);
  });

  test('numbers every call, in the order of their coming, and says when', async () => {
    const start = Date.now();
    for (const attempt of ['p/1', 'p/2', 'p/3']) await post('why?', { headers: { 'x-attempt-id': attempt } });
    const entries = emulator.billing.entries();
    assert.deepEqual(
      entries.map(({ callId, attemptId }) => [callId, attemptId]),
      [1, 2, 3].map((n) => [n, `p/${n}`]),
    );
    for (const { at } of entries) assert.ok(Date.parse(at) >= start && Date.parse(at) <= Date.now());
  });

  test('has a call whose client left in the middle of a stream, in full and once', async () => {
    const gone = new AbortController();
    const prompt = directive({ text: 'abcdef', chunks: 3, chunkDelayMs: 60_000, outputTokens: 9 });
    const response = await post(prompt, { stream: true, signal: gone.signal });
    const reader = response.body!.getReader();
    assert.match(new TextDecoder().decode((await reader.read()).value), /"text":"ab"/);
    gone.abort();
    await assert.rejects(reader.read(), { name: 'AbortError' });
    const entry = await until('it was seen to leave', () => emulator.billing.entries().find((one) => one.clientLeft));
    assert.deepEqual([entry.billed, entry.usage?.candidatesTokenCount], [true, 9]);
    assert.equal(emulator.billing.totals()['gemini-2.5-flash']?.outputTokens, 9);
  });

  test('does not have a refusal that its client did not wait for', async () => {
    const gone = new AbortController();
    const call = post(directive({ fault: '503', delayMs: 60_000 }), { signal: gone.signal });
    await until('the call arrived', () => emulator.billing.entries().length === 1);
    gone.abort();
    await assert.rejects(call, { name: 'AbortError' });
    const entry = await until('it was seen to leave', () => emulator.billing.entries().find((one) => one.clientLeft));
    assert.deepEqual([entry.billed, entry.usage], [false, null]);
  });

  test('does not say that a client left which read everything', async () => {
    await (await post('why?')).text();
    await (await post('why?', { stream: true })).text();
    await until('both are over', () => emulator.billing.entries().every(({ status }) => status === 200));
    assert.deepEqual(
      emulator.billing.entries().map(({ clientLeft }) => clientLeft),
      [false, false],
    );
  });
});

describe('a directive', () => {
  test('is of one call: the behaviour set for all stays with the others', async () => {
    emulator.setBehaviour({ fault: '503', delayMs: 0 });
    assert.equal((await post(directive({ text: 'mine' }))).status, 200);
    assert.equal((await post('why?')).status, 503);
  });

  test('gives one fault for each call with its prompt, the last one for all after', async () => {
    const prompt = directive({ faults: ['503', 'ok', '429'] });
    const statuses: number[] = [];
    for (let i = 0; i < 4; i += 1) statuses.push((await post(prompt)).status);
    assert.deepEqual(statuses, [503, 200, 429, 429]);
    assert.equal((await post(directive({ faults: ['503', 'ok'], text: 'another' }))).status, 503, 'counts by prompt');
    assert.equal((await post(prompt, { model: 'gemini-2.5-pro' })).status, 503, 'and by model');
  });

  test('that delays holds the answer for so long', async () => {
    const startedAt = performance.now();
    await post(directive({ delayMs: 150 }));
    assert.ok(performance.now() - startedAt >= 149);
  });

  for (const wrong of [
    '[[emulate {"delayMs":1]]',
    '[[emulate {"delayMs":1}',
    '[[emulate {"delayMs":-1}]]',
    '[[emulate {"inputTokens":1.5}]]',
    '[[emulate {"text":1}]]',
    '[[emulate {"faults":["fire"]}]]',
    '[[emulate {"colour":"red"}]]',
    '[[emulate []]]',
    '[[emulate null]]',
  ]) {
    test(`that is not understood is a 400 that says why, and is not billed: ${wrong}`, async () => {
      const response = await post(wrong);
      const { error } = (await response.json()) as { error: { status: string; message: string } };
      assert.deepEqual([response.status, error.status], [400, 'INVALID_ARGUMENT']);
      assert.match(error.message, /directive|must be|not a known|not known/);
      assert.equal(emulator.billing.entries()[0]?.billed, false);
    });
  }

  test('may hold any text, also one with brackets', async () => {
    const response = await post(directive({ text: 'a [[b]] c' }));
    assert.equal(response.status, 200, await response.text());
  });
});

test('two emulators give the same prompt the same answer, byte for byte, streamed too', async () => {
  const other = await startEmulator();
  try {
    for (const prompt of ['why is the sky blue?', directive({ thoughtTokens: 3, chunks: 3 })]) {
      for (const stream of [false, true]) {
        const [one, two] = await Promise.all([post(prompt, { stream }), post(prompt, { stream, at: other })]);
        assert.equal(await one.text(), await two.text());
      }
    }
  } finally {
    await other.close();
  }
});

test('closing ends calls that hang, are paused or are halfway', async () => {
  const other = await startEmulator();
  const calls = [
    post(directive({ fault: 'hang' }), { at: other }),
    post(directive({ delayMs: 60_000 }), { at: other }),
    post(directive({ chunks: 3, chunkDelayMs: 60_000 }), { at: other, stream: true }).then((one) => one.text()),
  ].map((call) => assert.rejects(call));
  await until('all three have come', () => other.billing.entries().length === 3);
  await other.close();
  await Promise.all(calls);
});

describe('a background interaction', () => {
  type Interaction = { id: string; status: string; outputs?: { text: string }[]; usage?: Record<string, number> };
  const ask = async (method: string, path = '', body?: object) => {
    const response = await fetch(`${emulator.url}/v1beta/interactions${path}`, {
      method,
      headers: HEADERS,
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Interaction };
  };
  const create = async (settings: object) =>
    (await ask('POST', '', { model: 'gemini-2.5-pro', input: directive(settings), background: true })).body;

  test('goes from queued through in_progress to completed, and is charged once', async () => {
    const { id, status } = await create({ delayMs: 200, text: 'found', inputTokens: 5, outputTokens: 6 });
    assert.equal(status, 'queued');
    const seen = new Set([status]);
    const done = await until('it is completed', async () => {
      const { body } = await ask('GET', `/${id}`);
      seen.add(body.status);
      return body.status === 'completed' ? body : null;
    });
    assert.deepEqual([...seen], ['queued', 'in_progress', 'completed']);
    assert.equal(done.outputs?.[0]?.text, 'found');
    assert.deepEqual(done.usage, { total_input_tokens: 5, total_output_tokens: 6, total_tokens: 11 });
    await ask('GET', `/${id}`);
    const { billed, outputTokens } = emulator.billing.totals()['gemini-2.5-pro']!;
    assert.deepEqual([billed, outputTokens], [1, 6]);
  });

  test('that nobody asks for again is charged all the same', async () => {
    await create({ delayMs: 0, text: 'unread' });
    await create({ delayMs: 50, outputTokens: 6 });
    await until('both are charged', () => emulator.billing.entries().every(({ billed }) => billed), 1_000);
  });

  test('can be cancelled, taken away, and is 404 then', async () => {
    const { id } = await create({ delayMs: 60_000 });
    assert.equal((await ask('POST', `/${id}/cancel`)).body.status, 'cancelled');
    assert.equal((await ask('GET', `/${id}`)).body.status, 'cancelled');
    assert.equal((await ask('DELETE', `/${id}`)).status, 200);
    assert.equal((await ask('GET', `/${id}`)).status, 404);
  });

  test('with a directive that is not understood is a 400 too', async () => {
    assert.equal((await ask('POST', '', { model: 'm', input: '[[emulate {]]' })).status, 400);
  });

  test('that is completed cannot be cancelled any more', async () => {
    const { id, status } = await create({ text: 'done' });
    assert.equal(status, 'completed');
    assert.equal((await ask('POST', `/${id}/cancel`)).body.status, 'completed');
  });
});

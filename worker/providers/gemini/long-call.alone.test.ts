/** A call may take as long as its attempt: fetch’s own bounds, five minutes of silence, are here half a second. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Agent, setGlobalDispatcher } from 'undici';
import { type Emulator, startEmulator } from '../../../testing/emulator/emulator.ts';
import { createGeminiProvider } from './gemini.ts';

let emulator: Emulator;
before(async () => {
  setGlobalDispatcher(new Agent({ headersTimeout: 500, bodyTimeout: 500 }));
  emulator = await startEmulator();
});
after(() => emulator.close());

const QUIET_MS = 2_500;
const prompt = `think for long [[emulate ${JSON.stringify({ delayMs: QUIET_MS, chunks: 2, chunkDelayMs: QUIET_MS })}]]`;
const model = 'gemini-2.5-flash';

test('what fetch would give up, before the answer and amid it, is waited for', async () => {
  const provider = createGeminiProvider({ apiKey: 'secret-key', baseUrl: emulator.url, now: () => new Date() });
  const { signal } = new AbortController();
  const outcome = await provider.generate({ model, prompt, attemptId: 'p/1' }, { signal, onDelta: () => {} });
  assert.equal(outcome.type, 'completed');
  assert.equal(emulator.billing.entries().length, 1);
});

test('and fetch does give it up', async () => {
  const body = JSON.stringify({ contents: [{ parts: [{ text: prompt }] }] });
  const headers = { 'content-type': 'application/json', 'x-goog-api-key': 'secret-key' };
  const url = `${emulator.url}/v1beta/models/${model}:streamGenerateContent?alt=sse`;
  await assert.rejects(
    async () => (await fetch(url, { method: 'POST', headers, body })).text(),
    (error: Error) => /Timeout/.test((error.cause as Error).name),
  );
});

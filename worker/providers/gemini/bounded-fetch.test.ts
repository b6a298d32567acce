/** The real SDK before servers that answer as no provider should: one attempt stays one request, and memory bounded. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { cleanup } from '../../../testing/kit/cleanup.ts';
import type { Outcome } from '../provider.ts';
import { createGeminiProvider } from './gemini.ts';

const t = cleanup(after);

async function serve(listener: RequestListener): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    request.resume();
    request.on('end', () => listener(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

function ask(baseUrl: string): Promise<Outcome> {
  const provider = createGeminiProvider({ apiKey: 'secret-key', baseUrl, now: () => new Date() });
  const request = { model: 'gemini-2.5-flash', prompt: 'why?', attemptId: 'p/1' };
  return provider.generate(request, { signal: new AbortController().signal, onDelta: () => {} });
}
const codeOf = (outcome: Outcome) => ('code' in outcome ? outcome.code : outcome.type);

describe('a redirect', () => {
  for (const status of [301, 302, 303, 307, 308]) {
    test(`${status} is not followed: neither twice to the same, nor with the key to another`, async () => {
      const other = await serve((_, response) => response.end());
      const first = await serve((_, response) => response.writeHead(status, { location: other.url }).end());
      const outcome = await ask(first.url);
      assert.deepEqual([outcome.type, codeOf(outcome), outcome.billing.known], ['retry', `provider_${status}`, true]);
      assert.deepEqual([first.requests.length, other.requests.length], [1, 0]);
    });
  }
});

describe('an answer without an end', () => {
  const piece = 'x'.repeat(256 * 1024);
  const begin = 'data: {"candidates":[{"content":{"parts":[{"text":"';

  test('of one line is cut before it is gathered', async () => {
    let sent = 0;
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(begin);
      const more = () => {
        while (!response.destroyed && sent < 100_000_000) {
          sent += piece.length;
          if (!response.write(piece)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    const outcome = await ask(url);
    assert.deepEqual([outcome.type, codeOf(outcome)], ['failed', 'answer_too_large']);
    assert.deepEqual(outcome.billing, { known: false, rawUsage: null });
    assert.ok(sent < 20_000_000, `${sent} bytes were sent`);
  });

  test('of many events is cut when it is larger than Postgres takes', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let events = 0;
      const event = `${begin}${piece}"}]}}]}\n\n`;
      const more = () => {
        for (; !response.destroyed && events < 400; events += 1)
          if (!response.write(event)) return void response.once('drain', more);
        response.end();
      };
      more();
    });
    const outcome = await ask(url);
    assert.deepEqual([outcome.type, codeOf(outcome)], ['failed', 'answer_too_large']);
  });

  test('beside a refusal leaves the refusal what it is', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(503, { 'content-type': 'application/json' });
      const more = () => {
        while (!response.destroyed) if (!response.write(piece)) return void response.once('drain', more);
      };
      more();
    });
    const outcome = await ask(url);
    assert.deepEqual([outcome.type, codeOf(outcome), outcome.billing.known], ['retry', 'provider_503', true]);
  });
});

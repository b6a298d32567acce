/** What each fault is on the wire, seen by a client without any SDK. E-numbers are those of faults.ts. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '../kit/until.ts';
import { type Emulator, startEmulator } from './emulator.ts';
import { type Fault, faults } from './faults.ts';

let emulator: Emulator;
before(async () => {
  emulator = await startEmulator();
});
after(() => emulator.close());
beforeEach(() => emulator.billing.clear());

type Body = {
  error?: { code: number; status: string; message: string; details?: Record<string, unknown>[] };
  candidates?: { content: { parts?: { text: string }[] }; finishReason?: string }[];
  promptFeedback?: { blockReason: string };
  usageMetadata?: Record<string, number>;
};
type Seen = { status: number; type: string; text: string; cut: string | null };

const TEXT = 'one two three four five six';
const prompt = (settings: object) => `say it [[emulate ${JSON.stringify({ text: TEXT, ...settings })}]]`;
const call = (fault: Fault, stream: boolean, signal?: AbortSignal) =>
  fetch(
    `${emulator.url}/v1beta/models/gemini-2.5-flash:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    {
      method: 'POST',
      headers: { 'x-goog-api-key': 'k', 'content-type': 'application/json' },
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: prompt({ fault }) }] }] }),
      ...(signal && { signal }),
    },
  );

/** Reads to the end, or to where the connection broke. */
async function see(fault: Fault, stream = false): Promise<Seen> {
  const response = await call(fault, stream);
  const decoder = new TextDecoder();
  let text = '';
  let cut: string | null = null;
  try {
    for await (const piece of response.body!) text += decoder.decode(piece, { stream: true });
  } catch (error) {
    cut = codeOf(error);
  }
  return { status: response.status, type: response.headers.get('content-type') ?? '', text, cut };
}
const codeOf = (error: unknown): string => ((error as Error).cause as { code?: string } | undefined)?.code ?? '';
const entry = () => emulator.billing.entries()[0]!;
const eventsOf = ({ text }: Seen): Body[] =>
  text
    .split('\r\n\r\n')
    .filter((one) => /^data: \{".*\}$/.test(one))
    .map((one) => JSON.parse(one.slice(6)) as Body);

describe('a refusal', () => {
  const refusals = {
    '429': [429, 'RESOURCE_EXHAUSTED', /"retryDelay":"1\.5s"/],
    '429-daily': [429, 'RESOURCE_EXHAUSTED', /"quotaId":"[^"]*PerDay/],
    '429-bare': [429, 'RESOURCE_EXHAUSTED', /^(?!.*(details|retryDelay))/],
    '429-spend': [429, 'RESOURCE_EXHAUSTED', /spending cap/],
    '402': [402, 'FAILED_PRECONDITION', /credits are depleted/],
    '500': [500, 'INTERNAL', /internal error/],
    '503': [503, 'UNAVAILABLE', /overloaded/],
    '504': [504, 'DEADLINE_EXCEEDED', /Deadline/],
    'bad-key': [400, 'INVALID_ARGUMENT', /"reason":"API_KEY_INVALID"/],
    '403': [403, 'PERMISSION_DENIED', /permission/],
    '404': [404, 'NOT_FOUND', /models\/gemini-2\.5-flash is not found/],
  } as const satisfies Partial<Record<Fault, [number, string, RegExp]>>;
  for (const [fault, [status, name, told]] of Object.entries(refusals)) {
    test(`${fault} is ${status} ${name} in Google’s form, streamed or not, and is not billed`, async () => {
      for (const stream of [false, true]) {
        const seen = await see(fault as Fault, stream);
        const { error } = JSON.parse(seen.text) as Body;
        assert.deepEqual([seen.status, error?.code, error?.status], [status, status, name]);
        assert.match(seen.text, told);
        assert.match(error?.message ?? '', /\(emulated\)$/);
      }
      assert.deepEqual(
        emulator.billing.entries().map(({ fault, status, billed }) => [fault, status, billed]),
        [1, 2].map(() => [fault, status, false]),
      );
    });
  }

  test('503-html is a proxy’s page, not JSON', async () => {
    const seen = await see('503-html');
    assert.deepEqual([seen.status, seen.type], [503, 'text/html']);
    assert.match(seen.text, /^<html>/);
    assert.equal(entry().billed, false);
  });
});

describe('an answer that is none', () => {
  const finishes = {
    safety: 'SAFETY',
    recitation: 'RECITATION',
    prohibited: 'PROHIBITED_CONTENT',
    spii: 'SPII',
    'unknown-finish': 'SOMETHING_NEW',
    'max-tokens-empty': 'MAX_TOKENS',
  } as const satisfies Partial<Record<Fault, string>>;
  for (const [fault, finishReason] of Object.entries(finishes)) {
    test(`${fault} ends with ${finishReason} and no text, streamed or not, and is billed`, async () => {
      for (const stream of [false, true]) {
        const seen = await see(fault as Fault, stream);
        const last = stream ? eventsOf(seen).at(-1) : (JSON.parse(seen.text) as Body);
        assert.equal(seen.status, 200);
        assert.equal(last?.candidates?.[0]?.finishReason, finishReason);
        assert.equal(last?.candidates?.[0]?.content.parts, undefined);
        assert.equal(last?.usageMetadata?.['candidatesTokenCount'], 0);
      }
      assert.ok(emulator.billing.entries().every(({ billed }) => billed));
    });
  }

  test('max-tokens-empty has thought, which is billed', async () => {
    const { usageMetadata = {} } = JSON.parse((await see('max-tokens-empty')).text) as Body;
    assert.equal(usageMetadata['thoughtsTokenCount'], 100);
    assert.equal(usageMetadata['totalTokenCount'], (usageMetadata['promptTokenCount'] ?? 0) + 100);
    assert.equal(emulator.billing.totals()['gemini-2.5-flash']?.thoughtTokens, 100);
  });

  test('of a kind without text is charged for what its usage says, no more', async () => {
    for (const fault of ['empty', 'blocked', 'safety'] as const) {
      emulator.billing.clear();
      const { usageMetadata } = JSON.parse((await see(fault)).text) as Body;
      assert.equal(usageMetadata?.['candidatesTokenCount'], 0);
      assert.equal(emulator.billing.totals()['gemini-2.5-flash']?.outputTokens, 0, fault);
    }
  });

  test('empty has no candidates, blocked says why', async () => {
    const [empty, blocked] = [await see('empty'), await see('blocked')].map(({ text }) => JSON.parse(text) as Body);
    assert.deepEqual([empty?.candidates, empty?.promptFeedback], [undefined, undefined]);
    assert.deepEqual([blocked?.candidates, blocked?.promptFeedback], [undefined, { blockReason: 'SAFETY' }]);
    assert.ok(empty?.usageMetadata && blocked?.usageMetadata);
  });

  test('max-tokens has its text', async () => {
    const { candidates } = JSON.parse((await see('max-tokens')).text) as Body;
    assert.deepEqual([candidates?.[0]?.finishReason, candidates?.[0]?.content.parts?.[0]?.text], ['MAX_TOKENS', TEXT]);
  });
});

describe('an answer that is cut', () => {
  test('reset: the connection breaks before any header, streamed or not', async () => {
    for (const stream of [false, true])
      await assert.rejects(call('reset', stream), (error) => /ECONNRESET|UND_ERR_SOCKET/.test(codeOf(error)));
    assert.deepEqual(
      emulator.billing.entries().map(({ billed, status }) => [billed, status]),
      [1, 2].map(() => [true, 0]),
    );
  });

  test('reset-body: 200, a piece, then the connection breaks', async () => {
    const seen = await see('reset-body', true);
    assert.equal(seen.status, 200);
    assert.equal(eventsOf(seen)[0]?.candidates?.[0]?.content.parts?.[0]?.text, TEXT.slice(0, 10));
    assert.match(seen.cut ?? 'ended cleanly', /ECONNRESET|UND_ERR_SOCKET/);
    assert.equal(entry().billed, true);
  });

  const ends: Partial<Record<Fault, RegExp>> = {
    'cut-at-event': /\r\n\r\n$/,
    'cut-in-event': /\r\n\r\ndata: \{"candidates":\[\{"cont$/,
    'error-appended': /\r\n\r\n\{"error":\{"code":503,.*\}$/,
    'error-as-data': /\r\n\r\ndata: \{"error":\{"code":503,.*\}\r\n\r\n$/,
    'bad-json': /\r\n\r\ndata: \{not json\}\r\n\r\n$/,
  };
  for (const [fault, end] of Object.entries(ends)) {
    test(`${fault}: a piece without finishReason, then a clean end of the connection as described, billed`, async () => {
      const seen = await see(fault as Fault, true);
      assert.deepEqual([seen.status, seen.cut], [200, null]);
      assert.match(seen.text, end);
      const first = eventsOf(seen)[0]?.candidates?.[0];
      assert.deepEqual([first?.content.parts?.[0]?.text, first?.finishReason], [TEXT.slice(0, 10), undefined]);
      assert.equal(entry().billed, true);
    });
  }

  test('malformed: 200 with JSON that stops in the middle, streamed or not', async () => {
    for (const stream of [false, true]) {
      const seen = await see('malformed', stream);
      assert.deepEqual([seen.status, seen.cut], [200, null]);
      assert.throws(() => JSON.parse(seen.text), SyntaxError);
      assert.ok(seen.text.startsWith('{"candidates"'));
    }
  });
});

for (const fault of ['hang', 'hang-body'] as const) {
  test(`${fault}: nothing more comes until the client leaves, which is billed and seen`, async () => {
    const gone = new AbortController();
    const got: string[] = [];
    const reading = async () => {
      const response = await call(fault, true, gone.signal);
      got.push('headers');
      for await (const piece of response.body!) got.push(Buffer.from(piece).toString());
    };
    const rejected = assert.rejects(reading(), { name: 'AbortError' });
    const expected = fault === 'hang' ? 0 : 2;
    await until('what comes at all', () => got.length === expected && entry()?.billed);
    // Another call that comes and goes: whatever was still to be sent to the first would be there by then.
    await see('reset-body', true);
    assert.equal(got.length, expected);
    gone.abort();
    await rejected;
    const itsOwn = () => emulator.billing.entries().find((one) => one.clientLeft && one.fault === fault);
    assert.equal((await until('its leaving is seen', itsOwn)).billed, true);
  });
}

test('every fault of the catalogue answers something, or nothing, but never a fault of the emulator itself', async () => {
  const quiet: Fault[] = ['hang', 'hang-body', 'reset'];
  for (const fault of Object.keys(faults) as Fault[]) {
    if (quiet.includes(fault)) continue;
    for (const stream of [false, true]) assert.doesNotMatch((await see(fault, stream)).text, /emulator itself failed/);
  }
});

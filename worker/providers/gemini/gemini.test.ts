/** The real SDK against the emulator: what each fault becomes, and that one attempt is one call. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Emulator, startEmulator } from '../../../testing/emulator/emulator.ts';
import { type Fault, faults } from '../../../testing/emulator/faults.ts';
import type { Outcome, Provider } from '../provider.ts';
import { createGeminiProvider } from './gemini.ts';
import { secondsToPacificMidnight } from './quota-reset.ts';

let emulator: Emulator;
let provider: Provider;
before(async () => {
  emulator = await startEmulator();
  provider = createGeminiProvider({
    apiKey: 'secret-key',
    baseUrl: emulator.url,
    now: () => new Date('2026-07-01T20:00:00Z'),
  });
});
after(() => emulator.close());

const MODEL = 'gemini-2.5-flash';
const directive = (settings: object) => `say something [[emulate ${JSON.stringify(settings)}]]`;

async function call(prompt: string, signal = new AbortController().signal, attemptId = 'p/1') {
  const deltas: string[] = [];
  emulator.billing.clear();
  const outcome = await provider.generate(
    { model: MODEL, prompt, attemptId },
    { signal, onDelta: (text) => deltas.push(text) },
  );
  return { outcome, deltas, calls: emulator.billing.entries().length };
}

/** `type code billing`: billing is none, known or unknown. */
const short = (outcome: Outcome): string => {
  const billing = outcome.billing.known ? (outcome.billing.usage ? 'known' : 'none') : 'unknown';
  return `${outcome.type} ${'code' in outcome ? outcome.code : outcome.finishReason} ${billing}`;
};

const expected: Record<Exclude<Fault, 'hang' | 'hang-body'>, string> = {
  '429': 'retry rate_limited none',
  '429-daily': 'retry daily_quota none',
  '429-bare': 'retry rate_limited none',
  '429-spend': 'retry billing_stopped none',
  '402': 'retry billing_stopped none',
  '500': 'retry provider_500 none',
  '503': 'retry provider_503 none',
  '504': 'retry provider_504 none',
  '503-html': 'retry provider_503 none',
  reset: 'unknown connection_lost unknown',
  'reset-body': 'unknown connection_lost unknown',
  malformed: 'unknown malformed_response unknown',
  'cut-at-event': 'unknown truncated_stream unknown',
  'cut-in-event': 'unknown malformed_response unknown',
  'error-appended': 'unknown provider_503 unknown',
  'error-as-data': 'unknown provider_503 unknown',
  'bad-json': 'unknown malformed_response unknown',
  empty: 'failed empty_answer known',
  blocked: 'failed blocked known',
  safety: 'failed blocked known',
  recitation: 'failed blocked known',
  prohibited: 'failed blocked known',
  spii: 'failed blocked known',
  'unknown-finish': 'failed stopped known',
  'max-tokens': 'completed MAX_TOKENS known',
  'max-tokens-empty': 'failed max_tokens known',
  'bad-key': 'retry bad_key none',
  '403': 'retry bad_key none',
  '404': 'failed model_not_found none',
  'no-usage': 'completed STOP unknown',
  'negative-usage': 'completed STOP unknown',
  'huge-usage': 'completed STOP unknown',
  'shrinking-usage': 'completed STOP unknown',
  'nul-text': 'completed STOP known',
};

describe('every fault of the emulator', () => {
  test('has a line here', () => {
    assert.deepEqual(
      Object.keys(faults).filter((fault) => !(fault in expected) && !fault.startsWith('hang')),
      [],
    );
  });
  for (const [fault, line] of Object.entries(expected)) {
    test(`${fault} is: ${line}, after one call`, async () => {
      const { outcome, calls } = await call(directive({ fault }));
      assert.equal(short(outcome), line, JSON.stringify(outcome));
      assert.equal(calls, 1);
      assert.equal(outcome.emulated, !/^(reset|malformed|503-html)$/.test(fault), 'says that it is emulated');
      assert.ok(!JSON.stringify(outcome).includes('secret-key'));
      assert.ok(!('message' in outcome) || !/<html|say something/.test(outcome.message));
    });
  }
});

describe('a call', () => {
  test('that succeeds gives text, usage and deltas, and names its attempt', async () => {
    const { outcome, deltas } = await call(
      directive({
        text: 'one two three',
        chunks: 3,
        inputTokens: 374,
        outputTokens: 44,
        thoughtTokens: 7,
        cachedTokens: 4,
      }),
      undefined,
      'prompt/2',
    );
    assert.equal(outcome.type, 'completed');
    assert.equal(outcome.type === 'completed' && outcome.answer, 'one two three');
    assert.equal(deltas.join(''), 'one two three');
    assert.ok(deltas.length > 1);
    assert.deepEqual(outcome.billing.known && outcome.billing.usage, {
      inputTokens: 374,
      cachedInputTokens: 4,
      outputTokens: 44,
      thoughtTokens: 7,
      totalTokens: 425,
    });
    assert.equal(emulator.billing.entries()[0]?.attemptId, 'prompt/2');
  });

  test('keeps what Postgres could not hold', async () => {
    const { outcome } = await call(directive({ fault: 'nul-text', text: 'x' }));
    assert.equal(outcome.type === 'completed' && outcome.answer, 'x \u0000 \ud800');
  });

  test('waits as long as RetryInfo says, in fractions too', async () => {
    const { outcome } = await call(directive({ fault: '429', retryDelay: '0.25s' }));
    assert.equal(outcome.type === 'retry' && outcome.afterSeconds, 0.25);
  });

  test('parks the model until midnight Pacific when the day’s quota is used up', async () => {
    const { outcome } = await call(directive({ fault: '429-daily' }));
    assert.deepEqual(outcome.type === 'retry' && outcome.park, { reason: 'daily_quota', seconds: 11 * 3600 });
  });

  test('to nobody was not sent, and costs nothing', async () => {
    const gone = await startEmulator();
    await gone.close();
    const nowhere = createGeminiProvider({ apiKey: 'k', baseUrl: gone.url, now: () => new Date() });
    const outcome = await nowhere.generate(
      { model: MODEL, prompt: 'x', attemptId: 'p/1' },
      { signal: new AbortController().signal, onDelta: () => {} },
    );
    assert.equal(short(outcome), 'retry provider_unreachable none');
  });

  for (const fault of ['hang', 'hang-body'] as const) {
    for (const reason of ['deadline', 'cancelled', 'shutdown'] as const) {
      test(`that hangs (${fault}) ends when it is aborted, with the reason ${reason}, its cost unknown`, async () => {
        const controller = new AbortController();
        const pending = call(directive({ fault }), controller.signal);
        setTimeout(() => controller.abort(reason), 60);
        const { outcome } = await pending;
        assert.equal(short(outcome), `unknown ${reason} unknown`);
      });
    }
  }
});

test('midnight Pacific, across both changes of daylight saving time', () => {
  assert.equal(secondsToPacificMidnight(new Date('2026-03-08T09:00:00Z')), 22 * 3600); // 01:00 PST, a day of 23 hours
  assert.equal(secondsToPacificMidnight(new Date('2026-11-01T08:00:00Z')), 24 * 3600); // 01:00 PDT, a day of 25 hours
  assert.equal(secondsToPacificMidnight(new Date('2026-07-02T06:59:59Z')), 1);
});

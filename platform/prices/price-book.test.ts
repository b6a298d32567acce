import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calcPrice } from '@pydantic/genai-prices';
import fc from 'fast-check';
import type { Usage } from '../../contracts/usage.ts';
import { createPriceBook, DEFAULT_MODEL } from './price-book.ts';

const book = createPriceBook();
const at = new Date('2026-11-23T00:00:00Z');
const usage = (over: Partial<Usage>): Usage => ({
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  thoughtTokens: 0,
  totalTokens: 0,
  ...over,
});
const nano = (model: string, over: Partial<Usage>, when = at) => book.price(model, usage(over), when)?.nanoUsd;

test('hand-computed prices: 0.30, 0.03 cached and 2.50 USD a million', () => {
  assert.equal(nano('gemini-2.5-flash', { inputTokens: 1_000_000 }), 300_000_000);
  assert.equal(nano('gemini-2.5-flash', { inputTokens: 374, outputTokens: 44 }), 374 * 300 + 44 * 2_500);
  assert.equal(
    nano('gemini-2.5-flash', { inputTokens: 100, cachedInputTokens: 40, outputTokens: 1, thoughtTokens: 9 }),
    60 * 300 + 40 * 30 + 10 * 2_500,
  );
});

test('half a nano-dollar is rounded up, once for the call', () => {
  // 18.75 nano-USD for a cached token of gemini-1.5-flash
  assert.equal(nano('gemini-1.5-flash', { inputTokens: 2, cachedInputTokens: 2 }), 38);
  assert.equal(nano('gemini-1.5-flash', { inputTokens: 1, cachedInputTokens: 1 }), 19);
});

test('a tier counts for the whole call once the input exceeds it', () => {
  assert.equal(nano('gemini-2.5-pro', { inputTokens: 200_000, outputTokens: 1 }), 200_000 * 1_250 + 10_000);
  assert.equal(nano('gemini-2.5-pro', { inputTokens: 200_001, outputTokens: 1 }), 200_001 * 2_500 + 15_000);
});

test('a price that starts at a date counts from then', () => {
  assert.equal(nano('gemini-3.8-flash', { inputTokens: 1 }, new Date('2026-12-31T23:59:59Z')), 750);
  assert.equal(nano('gemini-3.8-flash', { inputTokens: 1 }, new Date('2027-01-01T00:00:00Z')), 1_500);
});

test('agrees with the package’s own arithmetic within its rounding', () => {
  const models = book.models(at).map(({ model }) => model);
  fc.assert(
    fc.property(
      fc.constantFrom(...models),
      fc.nat(400_000),
      fc.nat(100),
      fc.nat(60_000),
      (model, input, cachedPercent, output) => {
        const cachedInputTokens = Math.floor((input * cachedPercent) / 100);
        const theirs = calcPrice(
          { input_tokens: input, cache_read_tokens: cachedInputTokens, output_tokens: output },
          model,
          { providerId: 'google', timestamp: at },
        );
        const ours = nano(model, { inputTokens: input, cachedInputTokens, outputTokens: output });
        assert.ok(theirs && ours !== undefined);
        assert.ok(Math.abs(theirs.total_price * 1e9 - ours) < 1, `${model}: ${theirs.total_price * 1e9} and ${ours}`);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('no call within the bound’s terms costs more than the bound', () => {
  fc.assert(
    fc.property(fc.nat(400_000), fc.nat(65_536), (bytes, output) => {
      const bound = book.upperBound({ model: 'gemini-2.5-pro', inputBytes: bytes, maxOutputTokens: output, at });
      const cost = nano('gemini-2.5-pro', { inputTokens: bytes, outputTokens: output });
      assert.ok(bound !== null && cost !== undefined && cost <= bound);
    }),
  );
});

test('a bound holds for a call that comes after the price has risen', () => {
  const call = { model: 'gemini-3.8-flash', inputBytes: 1_000, maxOutputTokens: 100 };
  const bound = book.upperBound({ ...call, at: new Date('2026-12-31T00:00:00Z') });
  const later = nano(call.model, { inputTokens: 1_000, outputTokens: 100 }, new Date('2027-01-02T00:00:00Z'));
  assert.ok(bound !== null && later !== undefined && later <= bound);
});

test('an unknown model has no price and no bound; the default model has both', () => {
  assert.equal(book.price('gpt-9', usage({}), at), null);
  assert.equal(book.upperBound({ model: 'gpt-9', inputBytes: 1, at }), null);
  assert.ok(book.models(at).some(({ model }) => model === DEFAULT_MODEL));
});

test('only text models are listed', () => {
  const odd = book.models(at).filter(({ model }) => /image|tts|live|embedding|vision/.test(model));
  assert.deepEqual(odd, []);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseUsd, usd } from './money.ts';

test('what is written is read back, to the nano-dollar', () => {
  fc.assert(fc.property(fc.bigInt(0n, 10n ** 25n), (nanoUsd) => assert.equal(parseUsd(usd(nanoUsd)), nanoUsd)));
  assert.equal(parseUsd('0.30'), 300_000_000n);
  assert.equal(parseUsd('007'), 7_000_000_000n);
});

test('numbers and bigints are written alike', () => {
  const whole = fc.integer({ min: -9_000_000, max: 9_000_000 }).map((dollars) => dollars * 1e9);
  const oneOf = fc.oneof(fc.maxSafeInteger(), fc.integer(), whole, fc.constantFrom(0, -1, 1e9));
  fc.assert(
    fc.property(oneOf, (nanoUsd) => {
      const text = usd(nanoUsd);
      assert.equal(text, usd(BigInt(nanoUsd)));
      assert.match(text, /^-?(0|[1-9]\d*)(\.\d{0,8}[1-9])?$/);
      assert.equal(parseUsd(text.replace('-', '')), BigInt(Math.abs(nanoUsd)));
    }),
  );
  assert.throws(() => usd(2 ** 53), RangeError);
});

test('what is no plain decimal is not guessed', () => {
  for (const text of ['', '-1', '+1', '1e3', '.5', '1.', '1,5', ' 1', '1 ', '0.1234567891', '٣', 'NaN'])
    assert.equal(parseUsd(text), null, text);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseUsd, usd } from './money.ts';

test('what is written is read back, to the nano-dollar', () => {
  fc.assert(fc.property(fc.bigInt(0n, 10n ** 25n), (nanoUsd) => assert.equal(parseUsd(usd(nanoUsd)), nanoUsd)));
  assert.equal(parseUsd('0.30'), 300_000_000n);
  assert.equal(parseUsd('007'), 7_000_000_000n);
});

test('what is no plain decimal is not guessed', () => {
  for (const text of ['', '-1', '+1', '1e3', '.5', '1.', '1,5', ' 1', '1 ', '0.1234567891', '٣', 'NaN'])
    assert.equal(parseUsd(text), null, text);
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError } from '../config/load.ts';
import { openPriceBook, PriceFileError, readPriceFile } from './price-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'prices-'));
after(() => rmSync(folder, { recursive: true }));
function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const text = JSON.stringify({
  models: [
    {
      model: 'gemini-2.5-flash',
      prices: [{ from: '2027-01-01', to: '2028-01-01', inputPerMillion: '0.1', outputPerMillion: '1' }],
    },
    { model: 'house-model', prices: [{ inputPerMillion: '0.000001', outputPerMillion: '0' }] },
  ],
});
const usage = { inputTokens: 1_000, cachedInputTokens: 0, outputTokens: 100, thoughtTokens: 0, totalTokens: 1_100 };

test('the version names package, file and content', () => {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  const { version } = openPriceBook({ PRICES_FILE: write('our prices.json', text) });
  assert.equal(version, `${openPriceBook({ PRICES_FILE: null }).version}+our_prices.json#${hash}`);
  assert.match(version, /^genai-prices@\d+\.\d+\.\d+\+our_prices\.json#[0-9a-f]{8}$/);
});

test('the file’s prices count in their time, the package’s before and after it and for every other model', () => {
  const book = openPriceBook({ PRICES_FILE: write('prices.json', text) });
  const packaged = openPriceBook({ PRICES_FILE: null });
  const cost = (at: string, model = 'gemini-2.5-flash') => book.price(model, usage, new Date(at))?.nanoUsd;
  assert.equal(cost('2026-12-31T23:59:59.999Z'), 1_000 * 300 + 100 * 2_500);
  assert.equal(cost('2027-01-01T00:00:00Z'), 1_000 * 100 + 100 * 1_000);
  assert.equal(cost('2027-12-31T23:59:59.999Z'), 1_000 * 100 + 100 * 1_000);
  assert.equal(cost('2028-01-01T00:00:00Z'), 1_000 * 300 + 100 * 2_500);
  const at = new Date('2027-06-01T00:00:00Z');
  assert.equal(cost(at.toISOString(), 'house-model'), 1);
  assert.deepEqual(
    book.price('gemini-2.5-pro', usage, at)?.nanoUsd,
    packaged.price('gemini-2.5-pro', usage, at)?.nanoUsd,
  );
  assert.ok(book.names.has('house-model') && !packaged.names.has('house-model'));
  // Served are Gemini's text models alone.
  assert.deepEqual(
    book.models(at).map(({ model }) => model),
    packaged.models(at).map(({ model }) => model),
  );
  assert.deepEqual(
    book.models(at).find(({ model }) => model === 'gemini-2.5-flash'),
    {
      model: 'gemini-2.5-flash',
      contextWindow: 1_048_576,
      inputPerMillion: '0.1',
      cachedInputPerMillion: null,
      outputPerMillion: '1',
    },
  );
});

test('a Gemini model that the package does not know is served from the day of its price', () => {
  const prices = [{ from: '2027-01-01', inputPerMillion: '1', outputPerMillion: '2' }];
  const json = JSON.stringify({ models: [{ model: 'gemini-9-flash', prices }] });
  const book = openPriceBook({ PRICES_FILE: write('new.json', json) });
  const listed = (at: string) => book.models(new Date(at)).some(({ model }) => model === 'gemini-9-flash');
  assert.deepEqual([listed('2026-12-31T23:59:59Z'), listed('2027-01-01T00:00:00Z')], [false, true]);
  assert.equal(book.price('gemini-9-flash', usage, new Date('2026-12-31T23:59:59Z')), null);
});

test('all faults of a file are told in one message, with the variable, and no book is opened', () => {
  const path = write(
    'bad.json',
    '{ "models": [{ "model": "m", "prices": [{ "inputPerMillion": 1, "to": "soon" }] }], "x": 1, "x": 2 }',
  );
  const lines = [
    '/x: is not a known field',
    '/models/0/prices/0/outputPerMillion: is required',
    '/models/0/prices/0/to: must be a date or time like 2027-01-01 or 2027-01-01T00:00:00Z',
    '/models/0/prices/0/inputPerMillion: must be a string, "0.30": JSON’s numbers are not exact',
    '/x: stands twice',
  ];
  assert.throws(
    () => openPriceBook({ PRICES_FILE: path }),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(
        error.problems,
        lines.map((line) => `PRICES_FILE: ${path} ${line}`),
      );
      return true;
    },
  );
  assert.throws(() => readPriceFile(path), {
    code: 'invalid_prices',
    message: [`The price file ${path} is not valid:`, ...lines.map((line) => `  ${line}`)].join('\n'),
  });
});

test('a file that cannot be read, or is no JSON, is refused in one sentence', () => {
  for (const [path, message] of [
    [join(folder, 'none.json'), /none\.json is not valid:\n {2}cannot be read: ENOENT/],
    [folder, /cannot be read: EISDIR/],
    [write('empty.json', ''), /is not JSON: /],
    [write('deep.json', '['.repeat(100)), /is nested deeper than 32 levels/],
  ] as const)
    assert.throws(
      () => readPriceFile(path),
      (error) => error instanceof PriceFileError && message.test(error.message),
    );
});

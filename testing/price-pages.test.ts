/** What the how-to pages on prices show is what the system takes and says. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openPriceBook } from '../platform/prices/price-file.ts';

const page = readFileSync(join(import.meta.dirname, '../doc/how-to/set-prices.md'), 'utf8');
/** Indented blocks, as they are to be copied. */
const blocks = [...page.matchAll(/(?:^ {4}.*\n)+/gm)].map(([block]) => block.replace(/^ {4}/gm, ''));
const json = blocks.find((block) => block.startsWith('{'))!;

const folder = mkdtempSync(join(tmpdir(), 'price-pages-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'prices.json');

test('the file of the page is taken, under the version that the page names', () => {
  writeFileSync(path, json);
  const { version } = openPriceBook({ PRICES_FILE: path });
  assert.ok(page.includes(`\`${version}\``), `the page does not name ${version}`);
});

test('the faults of the page are told as the page tells them', () => {
  writeFileSync(path, json.replace('"1.00"', '1.00').replace('"from": "2027-07-01"', '"from": "2027-08-01"'));
  const told = blocks.find((block) => block.startsWith('The configuration'))!;
  assert.throws(
    () => openPriceBook({ PRICES_FILE: path }),
    (error: Error) => `${error.message.replaceAll(path, 'prices.json')}\n` === told,
  );
});

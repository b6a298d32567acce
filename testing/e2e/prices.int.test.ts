/** A price file in the running system: what it changes, and what does not start when it is wrong. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase } from '../kit/database.ts';
import { run } from '../kit/process.ts';
import { createTestRedis } from '../kit/redis.ts';
import { startTestStack } from '../kit/stack.ts';

const t = cleanup(after);
const folder = mkdtempSync(join(tmpdir(), 'prices-e2e-'));
t.after(async () => rmSync(folder, { recursive: true }));
const file = join(folder, 'prices.json');
const write = (...prices: object[]) =>
  writeFileSync(file, JSON.stringify({ models: [{ model: 'gemini-2.5-flash', prices }] }));
const model = 'gemini-2.5-flash';

test('costs, bounds and the list of models follow the file, and say so', async () => {
  write({ inputPerMillion: '1000', outputPerMillion: '500', cachedInputPerMillion: '250.5' });
  const stack = await startTestStack(t, { env: { PRICES_FILE: file } });
  const ada = await stack.client('ada');
  const { id } = await ada.ask({ prompt: 'what does it cost?', model });
  const { usage, cost, spend } = await ada.prompt(id, { wait: 10 });
  assert.ok(usage && cost);
  const { inputTokens, cachedInputTokens, outputTokens, thoughtTokens } = usage;
  const nanoUsd =
    (inputTokens - cachedInputTokens) * 1_000_000 +
    cachedInputTokens * 250_500 +
    (outputTokens + thoughtTokens) * 500_000;
  assert.equal(cost.nanoUsd, nanoUsd);
  assert.match(cost.priceVersion ?? '', /^genai-prices@[\d.]+\+prices\.json#[0-9a-f]{8}$/);
  assert.equal(cost.notional, true);
  assert.deepEqual([spend.confirmed.nanoUsd, spend.notional], [nanoUsd, true]);
  const { data } = (await ada.models()) as { data: (Record<string, unknown> & { model: string })[] };
  const listed = data.find((one) => one.model === model);
  assert.deepEqual(
    [
      listed?.['inputPerMillion'],
      listed?.['cachedInputPerMillion'],
      listed?.['outputPerMillion'],
      listed?.['priceVersion'],
    ],
    ['1000', '250.5', '500', cost.priceVersion],
  );
});

const FAULTS = [
  'The configuration is not valid:',
  `  PRICES_FILE: ${file} /models/0/prices/0/outputPerMillion: must not be negative`,
  `  PRICES_FILE: ${file} /models/0/prices/1/inputPerMillion: is required`,
  `  PRICES_FILE: ${file} /models/0/prices/1/from: leaves a gap: the price before ends at 2027-01-01T00:00:00.000Z`,
];
const writeFaulty = () =>
  write(
    { to: '2027-01-01', inputPerMillion: '1', outputPerMillion: '-1' },
    { from: '2028-01-01', outputPerMillion: '1' },
  );

test('npm start with a wrong file tells all of it, starts nothing and exits 1', async () => {
  writeFaulty();
  const dataDir = join(folder, 'data');
  const running = run(t, ['deployment/local/main.ts'], { PRICES_FILE: file, DATA_DIR: dataDir });
  assert.equal(await running.exit, 1);
  assert.deepEqual(running.said().trimEnd().split('\n'), FAULTS);
  // Whether it can be written was looked at as well.
  assert.deepEqual(readdirSync(dataDir), []);
});

for (const service of ['command-api', 'query-api', 'worker']) {
  test(`${service} with a wrong file tells all of it and exits 1`, async () => {
    writeFaulty();
    const [database, redis] = [await createTestDatabase(t), await createTestRedis(t)];
    const running = run(t, [`${service}/main.ts`], {
      POSTGRES_URI: database.uri,
      REDIS_URI: redis.uri,
      GEMINI_API_KEY: 'none',
      PRICES_FILE: file,
      LOG_LEVEL: 'silent',
      ADMIN_PORT: '0',
      PORT: '0',
    });
    assert.equal(await running.exit, 1);
    assert.deepEqual(running.said().trimEnd().split('\n'), FAULTS);
  });
}

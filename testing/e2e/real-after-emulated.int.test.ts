/** A prompt that the emulator was asked first and a real key then, or the other way round: its real money is real everywhere. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { rerateLog } from '../../cli/repricing/rerate-log.ts';
import type { Client } from '../../client/client.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import { createPriceBook } from '../../platform/prices/price-book.ts';
import { repricing } from '../../platform/prices/rerate.ts';
import { auditLedger } from '../../projector/ledger/audit.ts';
import { rebuild } from '../../projector/rebuild/rebuild.ts';
import { cleanup } from '../kit/cleanup.ts';
import { type Provider, startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
const MODEL = 'gemini-2.5-flash';
/** Of gemini-2.5-flash: 300 nano-USD a token of input. */
const PRICE = 300;

/** Attempts in order: who is called, and how many tokens of input; null: nobody can tell. */
type Script = { emulated: boolean; tokens: number | null; answers?: boolean }[];
const provider: Provider = {
  name: 'scripted',
  generate: async ({ prompt, attemptId }) => {
    const { emulated, tokens, answers } = (JSON.parse(prompt) as Script)[Number(attemptId.split('/')[1]) - 1]!;
    const usage = { cachedInputTokens: 0, outputTokens: 0, thoughtTokens: 0 };
    const billing =
      tokens === null
        ? ({ known: false, rawUsage: null } as const)
        : ({ known: true, usage: { ...usage, inputTokens: tokens, totalTokens: tokens }, rawUsage: null } as const);
    if (!answers) return { type: 'retry', code: 'provider_overloaded', message: '', billing, emulated };
    return {
      type: 'completed',
      answer: 'so',
      finishReason: 'STOP',
      truncated: false,
      modelVersion: null,
      billing,
      emulated,
    };
  },
};

const SCRIPTS: Record<string, Script> = {
  'emulated, then real': [
    { emulated: true, tokens: 7 },
    { emulated: false, tokens: 100, answers: true },
  ],
  'real, then emulated': [
    { emulated: false, tokens: 211 },
    { emulated: true, tokens: 1_000, answers: true },
  ],
  'of unknown cost, then emulated': [
    { emulated: false, tokens: null },
    { emulated: true, tokens: 2_000, answers: true },
  ],
  emulated: [{ emulated: true, tokens: 50, answers: true }],
};
const USERS = Object.keys(SCRIPTS).map((script, i) => ({ script, userId: `user-${i}` }));

let stack: TestStack;
let root: Client;
let minPosition: number;
const prompts = new Map<string, Prompt>();

before(async () => {
  stack = await startTestStack(t, { provider, env: { RETRY_BASE_SECONDS: '0', CACHE_TTL_MINUTES: '0' } });
  root = await stack.client('root', 'admin');
  for (const { script, userId } of USERS) {
    const client = await stack.client(userId);
    const { id } = await client.ask({ prompt: JSON.stringify(SCRIPTS[script]), model: MODEL });
    prompts.set(userId, (await client.prompt(id, { wait: 10 })) as Prompt);
  }
  minPosition = Math.max(...[...prompts.values()].map(({ position }) => position));
});

type Money = { nanoUsd: number };
type Row = {
  userId: string;
  prompts: number;
  cost: Record<'confirmed' | 'wasted' | 'unknownBound' | 'notional', Money>;
};
const spent = async (userId: string, emulated?: 'include' | 'only') => {
  const { data } = await root.stats<Row>('users', { userId, minPosition, ...(emulated && { emulated }) });
  assert.ok(data.length <= 1);
  const [row] = data;
  if (!row) return null;
  const { confirmed, wasted, unknownBound, notional } = row.cost;
  return [row.prompts, confirmed.nanoUsd, wasted.nanoUsd, unknownBound.nanoUsd, notional.nanoUsd];
};
const shown = (userId: string) => {
  const { emulated, cost, spend } = prompts.get(userId)!;
  const { confirmed, wasted, unknownBound, notional } = spend;
  return [emulated, cost?.nanoUsd, cost?.notional, confirmed.nanoUsd, wasted.nanoUsd, unknownBound.nanoUsd, notional];
};
const bound = (userId: string) => prompts.get(userId)!.spend.unknownBound.nanoUsd;

describe('a prompt', () => {
  test('that a real key answered is real, and all that was paid for it is shown', async () => {
    assert.deepEqual(shown('user-0'), [false, 100 * PRICE, false, 100 * PRICE, 0, 0, false]);
    assert.deepEqual(await spent('user-0'), [1, 100 * PRICE, 0, 0, 0]);
    assert.deepEqual(await spent('user-0', 'include'), [1, 100 * PRICE, 7 * PRICE, 0, 7 * PRICE]);
    assert.deepEqual(await spent('user-0', 'only'), [0, 0, 7 * PRICE, 0, 7 * PRICE]);
  });

  test('that the emulator answered says so, and what was paid before is shown', async () => {
    assert.deepEqual(shown('user-1'), [true, 1_000 * PRICE, true, 0, 211 * PRICE, 0, false]);
    assert.deepEqual(await spent('user-1'), [0, 0, 211 * PRICE, 0, 0]);
    assert.deepEqual(await spent('user-1', 'include'), [1, 1_000 * PRICE, 211 * PRICE, 0, 1_000 * PRICE]);
  });

  test('of which an attempt may have been paid shows the bound of it', async () => {
    assert.ok(bound('user-2') > 0);
    assert.deepEqual(shown('user-2'), [true, 2_000 * PRICE, true, 2_000 * PRICE, 0, bound('user-2'), true]);
    assert.deepEqual(await spent('user-2'), [0, 0, 0, bound('user-2'), 0]);
    const corrected = await root.correctCost(prompts.get('user-2')!.id, 1, 13, 'on the bill');
    minPosition = corrected.position;
    assert.deepEqual(await spent('user-2'), [0, 0, 13, 0, 0]);
    assert.deepEqual(await spent('user-2', 'include'), [1, 2_000 * PRICE, 13, 0, 2_000 * PRICE]);
  });

  test('that only the emulator was asked is left out', async () => {
    assert.deepEqual(await spent('user-3'), null);
    assert.deepEqual(await spent('user-3', 'only'), [1, 50 * PRICE, 0, 0, 50 * PRICE]);
  });
});

test('users come by what they paid, whether the answer was used or not', async () => {
  const { data } = await root.stats<Row>('users', { minPosition });
  assert.deepEqual(
    data.map(({ userId }) => userId),
    ['user-1', 'user-0', 'user-2'],
  );
});

test('models, series, ledger and re-pricing say the same', async () => {
  const paid = 311 * PRICE + 13;
  const notional = (7 + 1_000 + 2_000 + 50) * PRICE;
  const models = await root.stats<{ prompts: number; users: number; cost: Money; notional: Money }>('models', {
    minPosition,
  });
  assert.deepEqual(
    models.data.map((row) => [row.prompts, row.users, row.cost.nanoUsd, row.notional.nanoUsd]),
    [[1, 1, paid, 0]],
  );
  const series = await root.stats<Row>('usage', { bucket: 'day', minPosition });
  const sum = (name: 'confirmed' | 'wasted') => series.data.reduce((total, { cost }) => total + cost[name].nanoUsd, 0);
  assert.equal(sum('confirmed') + sum('wasted'), paid);

  const { data: entries } = await root.ledger({ limit: 100, minPosition });
  const of = (isNotional: boolean) =>
    entries
      .filter((entry) => entry.notional === isNotional)
      .reduce((total, { cost }) => total + (cost?.nanoUsd ?? 0), 0);
  assert.deepEqual([of(false), of(true)], [paid, notional]);

  const { rows } = await rerateLog({
    uri: stack.database.uri,
    repricing: repricing({ book: createPriceBook() }),
    onProgress: () => {},
  });
  const total = (isNotional: boolean, side: 'asCharged' | 'rerated') =>
    Number(
      rows
        .filter((row) => row.notional === isNotional)
        .reduce((money, row) => money + row[side].confirmed + row[side].wasted, 0n),
    );
  for (const side of ['asCharged', 'rerated'] as const)
    assert.deepEqual([total(false, side), total(true, side)], [paid, notional]);
  assert.deepEqual(
    rows.map((row) => [row.userId, row.notional, row.prompts, row.attempts]),
    [
      ['user-0', false, 1, 1],
      ['user-1', false, 0, 1],
      ['user-2', false, 0, 1],
      ['user-0', true, 0, 1],
      ['user-1', true, 1, 1],
      ['user-2', true, 1, 1],
      ['user-3', true, 1, 1],
    ],
  );
});

test('the audit agrees, and so do read models that are made anew', async () => {
  assert.deepEqual((await auditLedger(stack.database.pool))?.largest, []);
  const { outcome, differing } = await rebuild({ uri: stack.database.uri, dryRun: true, onProgress: () => {} });
  assert.deepEqual([outcome, differing], ['dropped', []]);
});

/** What the statistics answer when nobody says how much: all that there is, as far as a bound that is told. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseUsd } from '../../contracts/money.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { randomLog, writeLog } from '../kit/random-log.ts';
import { type Client, startTestStack } from '../kit/stack.ts';

const t = cleanup(after);
const HOUR = 3_600_000;
const END = Date.now() - HOUR;
const USERS = 400;
type Row = { userId: string | null; bucket: string; prompts: number };

let database: TestDatabase;
let root: Client;
let users: Set<string>;
before(async () => {
  database = await createTestDatabase(t);
  const log = randomLog({ seed: 5, prompts: 500, users: USERS, from: END - 20 * HOUR, to: END });
  users = new Set(log.map(({ data }) => data.userId));
  await writeLog(database, log);
  root = await (await startTestStack(t, { database })).client('root', 'admin');
  await root.stats('users', { minPosition: log.length });
});
const stats = async (name: 'users' | 'models' | 'latency' | 'usage', query: object) =>
  (await root.stats(name, { emulated: 'include', ...query })) as unknown as {
    data: Row[];
    other: { users: number } | null;
  };

describe('without a limit', () => {
  test('every user has a row', async () => {
    assert.ok(users.size > 150);
    const { data, other } = await stats('users', {});
    assert.deepEqual([new Set(data.map(({ userId }) => userId)), other], [users, null]);
  });

  test('a series by user names a hundred, and sums up the rest of each hour', async () => {
    const { data } = await stats('usage', { groupBy: 'user', from: new Date(END - 30 * HOUR).toISOString() });
    const named = data.filter(({ userId }) => userId !== null);
    assert.equal(new Set(named.map(({ userId }) => userId)).size, 100);
    assert.ok(named.length < data.length);
    assert.equal(
      data.reduce((sum, { prompts }) => sum + prompts, 0),
      500,
    );
  });
});

test('a range may reach from the first year to the last second of the last one', async () => {
  const [first, last] = ['0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999999-23:59'];
  for (const name of ['users', 'models', 'latency', 'usage'] as const) {
    const whole = await stats(name, { from: '2020-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' });
    assert.ok(whole.data.length > 0);
    for (const from of [first, '1970-01-01T00:00:00Z', '2020-01-01T00:00:00Z'])
      assert.deepEqual((await stats(name, { from, to: last })).data, whole.data, `${name} from ${from}`);
    assert.deepEqual((await stats(name, { from: last, to: last })).data.length, name === 'latency' ? 3 : 0);
  }
});

test('a range may reach as far beyond the log as it likes', async () => {
  for (const bucket of ['hour', 'day']) {
    const wide = await stats('usage', { bucket, from: '1970-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' });
    const near = await stats('usage', { bucket, from: new Date(END - 30 * HOUR).toISOString() });
    assert.ok(near.data.length > 0);
    assert.deepEqual(wide.data, near.data);
    const beyond = await stats('usage', { bucket, from: '2099-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' });
    assert.deepEqual(beyond.data, []);
  }
});

describe('money beyond what a number holds', () => {
  // An odd one: the nearest number is another.
  const EACH = 2n ** 53n + 1n;
  type Money = { usd: string };
  type Priced = Row & { cost: { confirmed: Money } };
  const nano = ({ cost }: Priced) => parseUsd(cost.confirmed.usd);
  const ask = async (name: 'users' | 'usage', query: object) =>
    (await root.stats(name, { emulated: 'only', ...query })) as unknown as { data: Priced[]; other: Priced | null };

  before(async () => {
    for (const table of ['usage_v1', 'user_usage_v1', 'model_usage_v1']) {
      await database.pool.query(`UPDATE ${table} SET confirmed_nano_usd = $1, wasted_nano_usd = 0`, [EACH.toString()]);
    }
  });

  test('is told to the nano-dollar of a user, and of all others in one sum', async () => {
    const { data: every } = await ask('users', {});
    assert.ok(every.length > 50);
    assert.deepEqual(new Set(every.map(nano)), new Set([EACH]));
    const { data, other } = await ask('users', { limit: 1 });
    assert.deepEqual([data.map(nano), nano(other!)], [[EACH], EACH * BigInt(every.length - 1)]);
  });

  test('and of a model, and over time', async () => {
    const { data: models } = await root.stats<{ cost: Money }>('models', { emulated: 'only' });
    assert.deepEqual(new Set(models.map(({ cost }) => parseUsd(cost.usd))), new Set([EACH]));
    const { data: days } = await ask('usage', { bucket: 'day' });
    assert.ok(days.length > 0);
    for (const row of days) assert.equal(nano(row)! % EACH, 0n);
  });
});

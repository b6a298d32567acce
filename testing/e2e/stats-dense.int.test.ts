/** Looking back into quarters of an hour with many prompts each: whichever part of the position's own is corrected. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readUpTo } from '../../query-api/read-models/as-of.ts';
import { byUser, latenciesOf, promptsAt, type Spend } from '../kit/brute-sums.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase } from '../kit/database.ts';
import { createRandom } from '../kit/random.ts';
import { randomLog, writeLog } from '../kit/random-log.ts';
import { startTestStack } from '../kit/stack.ts';

const t = cleanup(after);
const QUARTER = 900_000;
const FROM = Math.floor((Date.now() - 8 * 3_600_000) / QUARTER) * QUARTER;

test('users, hours and latency are what they were', async () => {
  const database = await createTestDatabase(t);
  const log = randomLog({ seed: 35, prompts: 300, users: 6, from: FROM, to: FROM + 4 * QUARTER });
  await writeLog(database, log);
  const root = await (await startTestStack(t, { database, env: { CACHE_TTL_MINUTES: '0' } })).client('root', 'admin');
  await root.stats('users', { minPosition: log.length });
  const random = createRandom(35);
  const sides = new Set<boolean>();
  for (let i = 0; i < 40; i += 1) {
    const position = random.between(1, log.length);
    const time = Date.parse(log[position - 1]!.recordedAt);
    const from = random.chance(0.5) ? FROM : Math.floor(time / QUARTER) * QUARTER - random.between(0, 1) * QUARTER;
    const query = { asOf: position, emulated: 'include', from: new Date(from).toISOString() };
    const states = promptsAt(log, position, { emulated: 'include', from });
    if (states.length > 0) sides.add(readUpTo({ recordedAt: log[position - 1]!.recordedAt }) <= time);
    const expected = byUser(states);
    type Row = {
      userId: string;
      prompts: number;
      cost: Record<'confirmed' | 'wasted' | 'unknownBound', { nanoUsd: number }>;
    };
    const flat = (rows: (Row | ({ userId: string } & Spend))[]) =>
      rows.map((row) => {
        const money =
          'cost' in row
            ? Object.values(row.cost)
                .slice(0, 3)
                .map(({ nanoUsd }) => nanoUsd)
            : null;
        return [
          row.userId,
          row.prompts,
          ...(money ?? [(row as Spend).confirmed, (row as Spend).wasted, (row as Spend).unknownBound]),
        ];
      });
    const { data: users } = await root.stats<Row>('users', query);
    assert.deepEqual(flat(users), flat(expected), JSON.stringify(query));
    const { data: hours } = await root.stats<Row>('usage', { ...query, bucket: 'hour' });
    const total = (rows: { prompts: number }[]) => rows.reduce((sum, { prompts }) => sum + prompts, 0);
    assert.equal(total(hours), total(expected));
    const { data: models } = await root.stats<{ model: string; users: number; prompts: number }>('models', query);
    const counted = states.filter((state) => state.counted);
    assert.equal(total(models), counted.length);
    for (const { model, users: people } of models)
      assert.equal(people, new Set(counted.filter((one) => one.model === model).map(({ userId }) => userId)).size);
    const { data: latencies } = await root.stats<{ measure: 'total'; count: number }>('latency', query);
    const exact = latenciesOf(states);
    for (const { measure, count } of latencies) assert.equal(count, exact[measure].length);
  }
  assert.deepEqual([...sides].sort(), [false, true], 'only one part of a quarter was corrected');
});

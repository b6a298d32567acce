/** What a day has cost, beside every attempt folded and added up by hand. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { fold } from '../../contracts/prompt/state.ts';
import { newId } from '../../platform/ids.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { randomLog, writeLog } from '../../testing/kit/random-log.ts';
import { readDaySpent } from './day-spent.ts';

const t = cleanup(after);
const DAY = 86_400_000;
const NOW = Date.now();

async function spentOf(database: TestDatabase, to: number): Promise<Record<string, number>> {
  await database.pool.query('SELECT post_ledger_v3($1)', [to]);
  const spent = await readDaySpent(database.pool);
  assert.equal(spent.length, 8, 'each account, of real ones and of emulated ones, also with nothing in it');
  return Object.fromEntries(
    spent
      .filter(({ nanoUsd }) => nanoUsd > 0)
      .map(({ account, emulated, nanoUsd }) => [`${account}${emulated ? ' emulated' : ''}`, nanoUsd]),
  );
}

test('is what the attempts of the last 24 hours cost, by what is known of them now', async () => {
  const database = await createTestDatabase(t);
  const log = randomLog({ seed: 5, prompts: 500, users: 6, from: NOW - 4 * DAY, to: NOW });
  await writeLog(database, log);
  const expected = new Map<string, number>();
  let old = 0;
  for (const stream of Map.groupBy(log, ({ streamId }) => streamId).values()) {
    const starts = stream.filter(({ type }) => type === 'AttemptStarted');
    const { attempts } = fold(stream)!;
    for (const { attempt, end, nanoUsd, boundNanoUsd, emulated } of attempts) {
      const at = Date.parse(starts[attempt - 1]!.recordedAt);
      // Or the time that passes until it is read would decide.
      assert.ok(at < NOW - DAY || at > NOW - DAY + 10_000, 'another seed is needed');
      if (at < NOW - DAY) {
        old += 1;
        continue;
      }
      const known = end === 'answered' ? 'confirmed' : 'wasted';
      const account = end === 'open' ? 'reserved' : nanoUsd === null ? 'unknown' : known;
      const asEmulated = emulated || (nanoUsd === null && attempts.some((one) => one.emulated));
      const key = `${account}${asEmulated ? ' emulated' : ''}`;
      expected.set(key, (expected.get(key) ?? 0) + (nanoUsd ?? boundNanoUsd ?? 0));
    }
  }
  const found = await spentOf(database, log.length);
  assert.deepEqual(found, Object.fromEntries(expected));
  assert.ok(old > 100 && Object.keys(found).length === 8, `${old} older ones, ${JSON.stringify(found)}`);
});

describe('what an attempt cost', () => {
  let database: TestDatabase;
  let position = 0;
  const promptId = newId();
  const submittedAt = new Date(NOW).toISOString();
  const subject = { userId: 'ada', model: 'm', submittedAt };
  const charge = (nanoUsd: number | null, emulated = false) => ({
    usage: null,
    rawUsage: null,
    nanoUsd,
    boundNanoUsd: nanoUsd === null ? 900 : null,
    priceVersion: 'p',
    emulated,
  });
  const tokens = new Map<number, string>();
  const of = (attempt: number) => {
    if (!tokens.has(attempt)) tokens.set(attempt, newId());
    return { ...subject, attempt, token: tokens.get(attempt)! };
  };

  async function record(type: RecordedEvent['type'], data: object): Promise<Record<string, number>> {
    position += 1;
    const recordedAt = new Date(NOW + position).toISOString();
    const metadata = { correlationId: promptId, causationId: null, traceparent: null, actor: 'test' };
    const event = { position, streamId: promptId, version: position, eventId: newId(), type, schemaVersion: 1 };
    await writeLog(database, [{ ...event, data, metadata, recordedAt } as unknown as RecordedEvent]);
    return spentOf(database, position);
  }
  const start = (attempt: number) =>
    record('AttemptStarted', { ...of(attempt), generation: 0, worker: 'w', boundNanoUsd: 900, priceVersion: 'p' });
  const lost = (attempt: number) => {
    const why = { end: 'lost', code: 'lease_lost', message: 'made so', retryInSeconds: 1 };
    return record('AttemptFailed', { ...of(attempt), ...charge(null), ...why });
  };

  before(async () => {
    database = await createTestDatabase(t);
    await record('PromptSubmitted', { ...submission, userId: 'ada', model: 'm' });
  });

  test('is counted once when its bound becomes known', async () => {
    assert.deepEqual(await start(1), { reserved: 900 });
    assert.deepEqual(await lost(1), { unknown: 900 });
    assert.deepEqual(await record('AttemptDiscarded', { ...of(1), ...charge(300), code: 'late_answer' }), {
      wasted: 300,
    });
  });

  test('is what a correction says', async () => {
    const correction = { ...of(1), nanoUsd: 500, reason: 'bill', by: 'root' };
    assert.deepEqual(await record('AttemptCostCorrected', correction), { wasted: 500 });
  });

  test('counts as real while nothing says that it was emulated, and as emulated once its prompt is', async () => {
    await start(2);
    assert.deepEqual(await lost(2), { wasted: 500, unknown: 900 });
    await start(3);
    const answer = { answer: 'a', encoding: 'plain', finishReason: 'STOP', truncated: false, modelVersion: null };
    assert.deepEqual(await record('PromptCompleted', { ...of(3), ...charge(40, true), ...answer }), {
      wasted: 500,
      'unknown emulated': 900,
      'confirmed emulated': 40,
    });
  });
});

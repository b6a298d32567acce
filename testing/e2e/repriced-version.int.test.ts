/** Statistics of a version of the read models that is kept at other prices: the same as a report at these prices tells. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import type { Problem } from '../../contracts/http/problem.ts';
import type { EventData } from '../../contracts/prompt/events.ts';
import { newId } from '../../platform/ids.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { run } from '../kit/process.ts';
import { randomLog, writeLog } from '../kit/random-log.ts';
import { type Client, startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
const DAY = 24 * 3_600_000;
/** Weeks ago: what is served speaks of today, the version that is kept does not. */
const END = Date.now() - 40 * DAY;
const SWAP = 'gemini-2.5-pro=gemini-2.5-flash-lite';
const folder = mkdtempSync(join(tmpdir(), 'repriced-version-'));
t.after(async () => rmSync(folder, { recursive: true }));

let database: TestDatabase;
let stack: TestStack;
let root: Client;
let keys: { root: string; ada: string };
let version: number;
let head: number;
/** Of an attempt that was billed before its worker told of it the version knows the tokens, and what is served the bill alone. */
let billedFirst: Set<string>;

async function replay(...args: string[]): Promise<string> {
  const running = run(t, ['cli/replay.ts', ...args], { POSTGRES_URI: database.uri, DATA_DIR: folder });
  assert.equal(await running.exit, 0, running.said());
  return running.said();
}
async function keep(...args: string[]): Promise<number> {
  const said = await replay(...args);
  const [, number] = /^Version (\d+) of prompts .*: kept apart; it is not served\.$/m.exec(said) ?? [];
  assert.ok(number, said);
  return Number(number);
}

before(async () => {
  database = await createTestDatabase(t);
  const log = billedLate(randomLog({ seed: 11, prompts: 400, users: 12, from: END - 30 * DAY, to: END }));
  head = log.length;
  billedFirst = usersBilledFirst(log);
  await writeLog(database, log);
  stack = await startTestStack(t, { database });
  root = await stack.client('root', 'admin');
  keys = { root: await stack.key('root', 'admin'), ada: await stack.key('ada') };
  await root.stats('users', { minPosition: head });
  version = await keep('--what-if', SWAP);
  const ada = await stack.client('ada');
  const { id, position } = await ada.ask({ prompt: 'today', model: 'gemini-2.5-flash' });
  await ada.prompt(id, { wait: 10 });
  await root.stats('users', { minPosition: position });
});

/** Bills come long after: when a rebuild has laid a prompt aside, and knows of it what its row has. */
function billedLate(log: RecordedEvent[]): RecordedEvent[] {
  const last = log.at(-1)!;
  const ended = [...Map.groupBy(log, ({ streamId }) => streamId).values()]
    .map((events) => events.at(-1)!)
    .filter(({ position, type }) => position < 450 && type === 'PromptCompleted');
  assert.ok(ended.length > 40 && last.position > 1_000, 'the first page of a rebuild has 500 events');
  const bills = ended.map((end, i) => {
    const { userId, model, submittedAt, attempt, token } = end.data as EventData<'PromptCompleted'>;
    return {
      ...end,
      type: 'AttemptCostCorrected',
      data: { userId, model, submittedAt, attempt, token, nanoUsd: 77, reason: 'bill', by: 'root' },
      position: last.position + 1 + i,
      version: end.version + 1,
      eventId: newId(),
      recordedAt: last.recordedAt,
    } as RecordedEvent;
  });
  return [...log, ...bills];
}

function usersBilledFirst(log: RecordedEvent[]): Set<string> {
  const billed = new Set<string>();
  const users = new Set<string>();
  for (const { streamId, type, data } of log) {
    const { attempt, userId } = data as { attempt?: number; userId: string };
    if (type === 'AttemptCostCorrected') billed.add(`${streamId}/${attempt}`);
    else if (billed.has(`${streamId}/${attempt}`)) users.add(userId);
  }
  return users;
}

const get = async (path: string, key = keys.root) => {
  const response = await fetch(new URL(path, stack.address), { headers: { authorization: `Bearer ${key}` } });
  return { status: response.status, headers: response.headers, text: await response.text() };
};
async function refusal(path: string, key = keys.root) {
  const { status, text } = await get(path, key);
  const { code, errors } = JSON.parse(text) as Problem;
  return [status, code, errors?.map(({ pointer }) => pointer)];
}

type Amount = { nanoUsd: number };
type Cost = Record<'confirmed' | 'wasted' | 'unknownBound', Amount>;
type Told = { userId: string; model: string; prompts: number; asCharged: Cost; rerated: Cost };
type Row = { userId: string; model: string; bucket: string; prompts: number; inputTokens: number; cost: Cost };
const sumOf = (costs: Cost[]) =>
  (['confirmed', 'wasted', 'unknownBound'] as const).map((name) =>
    costs.reduce((sum, cost) => sum + cost[name].nanoUsd, 0),
  );

describe('a version at another model’s prices', () => {
  test('tells of every user and model what the report at these prices tells, corrected attempts too', async () => {
    const said = await replay('--what-if', SWAP, '--dry-run', '--json', '--until', String(head));
    const { data, total } = JSON.parse(said.slice(said.indexOf('{'))) as {
      data: Told[];
      total: { corrected: { ratedByTokens: number; unknown: number } };
    };
    assert.ok(total.corrected.ratedByTokens > 0 && total.corrected.unknown > 0);
    const users = await root.stats<Row>('users', { version, emulated: 'include' });
    assert.deepEqual([users.version, users.position], [version, head]);
    assert.match(users.prices ?? '', /^genai-prices@\S+ --what-if gemini-2\.5-pro=gemini-2\.5-flash-lite$/);
    for (const [name, rows] of [
      ['userId', users.data],
      ['model', (await root.stats<Row>('users', { version, emulated: 'include', model: 'gemini-2.5-pro' })).data],
    ] as const) {
      const told = name === 'userId' ? data : data.filter(({ model }) => model === 'gemini-2.5-pro');
      assert.ok(rows.length > 5);
      for (const { userId, cost } of rows)
        assert.deepEqual(
          sumOf([cost]),
          sumOf(told.filter((row) => row.userId === userId).map(({ rerated }) => rerated)),
        );
    }
    const { data: models } = await root.stats<{ model: string; cost: Amount }>('models', {
      version,
      emulated: 'include',
    });
    assert.equal(models.length, 3);
    for (const { model, cost } of models) {
      const [confirmed, wasted] = sumOf(data.filter((row) => row.model === model).map(({ rerated }) => rerated));
      assert.equal(cost.nanoUsd, confirmed! + wasted!);
    }
  });

  test('has the tokens and times that are on record, and its own money only', async () => {
    const range = { to: new Date(END + DAY).toISOString(), emulated: 'include' };
    const live = await root.stats<Row>('users', range);
    const kept = await root.stats<Row>('users', { ...range, version });
    assert.deepEqual([live.version, live.prices], [undefined, undefined]);
    const counted = (rows: Row[]) =>
      rows.map(({ userId, prompts, inputTokens }) => [userId, prompts, !billedFirst.has(userId) && inputTokens]).sort();
    assert.deepEqual(counted(kept.data), counted(live.data));
    assert.ok(billedFirst.size > 0 && live.data.length - billedFirst.size > 3);
    assert.notDeepEqual(sumOf(kept.data.map(({ cost }) => cost)), sumOf(live.data.map(({ cost }) => cost)));
    const times = { from: new Date(END - 60 * DAY).toISOString(), ...range };
    assert.deepEqual(
      (await root.stats('latency', { ...times, version })).data,
      (await root.stats('latency', times)).data,
    );
    // Of what is served there is an answer of before, kept under the same question.
    assert.deepEqual(await root.stats('users', range), live);
  });

  test('looks back from its own end: by hours, by days, by user, and over times', async () => {
    const hours = await root.stats<Row>('usage', { version, emulated: 'include' });
    assert.ok(hours.data.length > 0);
    assert.ok(hours.data.every(({ bucket }) => Date.parse(bucket) <= END && Date.parse(bucket) > END - 3 * DAY));
    const days = await root.stats<Row>('usage', { version, emulated: 'include', bucket: 'day', groupBy: 'user' });
    const users = await root.stats<Row>('users', { version, emulated: 'include' });
    assert.deepEqual(sumOf(days.data.map(({ cost }) => cost)), sumOf(users.data.map(({ cost }) => cost)));
    const [total] = (await root.stats<{ measure: string; count: number }>('latency', { version })).data;
    assert.equal(total?.measure, 'queue_wait');
  });

  test('says as CSV which it is', async () => {
    const { status, headers, text } = await get(`/stats/users?version=${version}&format=csv`);
    assert.equal(status, 200, text);
    assert.deepEqual([headers.get('x-version'), headers.get('x-position')], [String(version), String(head)]);
    assert.match(headers.get('x-prices') ?? '', /--what-if gemini-2\.5-pro=gemini-2\.5-flash-lite$/);
    const live = await get('/stats/users?format=csv');
    assert.deepEqual([live.headers.get('x-version'), live.headers.get('x-prices')], [null, null]);
  });

  test('is another one for other models, and its number is that of no other', async () => {
    const other = await keep('--what-if', 'gemini-2.5-flash-lite', '--until', '50');
    const { data, position, prices } = await root.stats<Row>('users', { version: other, emulated: 'include' });
    assert.deepEqual([position, prices?.endsWith(' --what-if gemini-2.5-flash-lite')], [50, true]);
    assert.ok(data.reduce((sum, { prompts }) => sum + prompts, 0) <= 50);
    await replay('--drop', String(other));
    assert.deepEqual(await refusal(`/stats/users?version=${other}`), [404, 'not_found', ['?version']]);
  });
});

describe('what cannot be answered is told, of every statistic', () => {
  for (const name of ['users', 'models', 'usage', 'latency']) {
    test(name, async () => {
      const path = `/stats/${name}?version=`;
      const [unfinished, half] = [1_001, 1_002];
      await database.pool.query(
        `INSERT INTO projection_version (name, version, status, frozen) VALUES ('prompts', $1, 'building', true), ('prompts', $2, 'ready', true)`,
        [unfinished, half],
      );
      await database.pool.query(`INSERT INTO cursor (name, version) VALUES ('prompts', $1), ('prompts', $2)`, [
        unfinished,
        half,
      ]);
      try {
        assert.deepEqual(await refusal(`${path}${version}`, keys.ada), [400, 'invalid_request', ['?version']]);
        assert.deepEqual(await refusal(`${path}999`), [404, 'not_found', ['?version']]);
        // As it is for a moment when it is dropped between two looks: its row is seen, its tables are gone.
        assert.deepEqual(await refusal(`${path}${half}`), [404, 'not_found', ['?version']]);
        assert.deepEqual(await refusal(`${path}${unfinished}`), [400, 'invalid_request', ['?version']]);
        for (const wrong of ['0', '-1', '1.5', 'live', '2147483648', ''])
          assert.deepEqual(await refusal(`${path}${wrong}`), [400, 'invalid_request', ['?version']]);
        assert.deepEqual(await refusal(`${path}${version}&asOf=3`), [400, 'invalid_request', ['?asOf']]);
        assert.deepEqual(await refusal(`${path}${version}&minPosition=3`), [400, 'invalid_request', ['?minPosition']]);
      } finally {
        await database.pool.query(`DELETE FROM cursor WHERE version IN ($1, $2)`, [unfinished, half]);
        await database.pool.query(`DELETE FROM projection_version WHERE version IN ($1, $2)`, [unfinished, half]);
      }
    });
  }
});

/** Random questions about a random log, now and looking back, against every prompt folded and added up by hand. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Query } from '../../client/client.ts';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { byUser, type Filter, latenciesOf, promptsAt, type Spend, spendOf } from '../kit/brute-sums.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase } from '../kit/database.ts';
import { createRandom } from '../kit/random.ts';
import { MODELS, randomLog, writeLog } from '../kit/random-log.ts';
import { type Client, startTestStack, type TestStack } from '../kit/stack.ts';

const t = cleanup(after);
const SEED = 20_261_125;
const QUESTIONS = 40;
const DAY = 86_400_000;
const END = Date.now() - 3_600_000;
const START = END - 75 * DAY;
const ZONES = ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/New_York', 'Australia/Lord_Howe'];

let stack: TestStack;
let root: Client;
let log: RecordedEvent[];

before(async () => {
  const database = await createTestDatabase(t);
  log = randomLog({ seed: SEED, prompts: 500, users: 14, from: START, to: END });
  await writeLog(database, log);
  stack = await startTestStack(t, { database, env: { CACHE_TTL_MINUTES: '0' } });
  root = await stack.client('root', 'admin');
});

type Asked = { query: Query; filter: Filter; position: number };
type Money = { nanoUsd: number };
type Row = Record<
  keyof Omit<Spend, 'confirmed' | 'wasted' | 'unknownBound' | 'unknownAttempts' | 'notional'>,
  number
> & {
  cost: Record<'confirmed' | 'wasted' | 'unknownBound' | 'notional', Money> & { unknownAttempts: number };
};

/** A question, and where in the log it is answered. */
function anyQuestion(seed: number): Asked {
  const random = createRandom(seed);
  const asked: Asked = { query: {}, filter: {}, position: log.length };
  const set = (name: 'userId' | 'model' | 'emulated', value: string) => {
    asked.query[name] = value;
    asked.filter[name] = value as never;
  };
  const when = () => random.between(START - DAY, END + DAY);
  if (random.chance(0.7)) {
    asked.position = random.between(1, log.length);
    const { recordedAt } = log[asked.position - 1]!;
    if (random.chance(0.5)) {
      // A time is the last event recorded by then.
      asked.position = log.filter((event) => event.recordedAt <= recordedAt).length;
      asked.query.asOf = recordedAt;
    } else asked.query.asOf = asked.position;
  } else asked.query.minPosition = log.length;
  if (random.chance(0.3)) set('userId', `user-${random.between(0, 8)}`);
  if (random.chance(0.3)) set('model', random.pick(MODELS));
  if (random.chance(0.6)) set('emulated', random.pick(['only', 'include']));
  const times = [when(), when()].sort((a, b) => a - b);
  if (random.chance(0.6)) asked.filter.from = times[0]!;
  if (random.chance(0.6)) asked.filter.to = times[1]!;
  for (const name of ['from', 'to'] as const) {
    const ms = asked.filter[name];
    if (ms !== undefined) asked.query[name] = new Date(ms).toISOString();
  }
  return asked;
}

const flat = ({ cost, ...row }: Row): Spend => ({
  prompts: row.prompts,
  completed: row.completed,
  failed: row.failed,
  inputTokens: row.inputTokens,
  outputTokens: row.outputTokens,
  thoughtTokens: row.thoughtTokens,
  confirmed: cost.confirmed.nanoUsd,
  wasted: cost.wasted.nanoUsd,
  unknownBound: cost.unknownBound.nanoUsd,
  unknownAttempts: cost.unknownAttempts,
  notional: cost.notional.nanoUsd,
});
const seeds = Array.from({ length: QUESTIONS }, (_, i) => SEED + i);
const context = (seed: number, { query }: Asked) => `seed ${seed}: ${JSON.stringify(query)}`;

test('users, those who spent most first, the others in one sum', async () => {
  for (const seed of seeds) {
    const asked = anyQuestion(seed);
    const limit = createRandom(seed).pick([1, 3, 100]);
    const answer = (await root.stats('users', { ...asked.query, limit })) as unknown as {
      data: ({ userId: string } & Row)[];
      other: (Row & { users: number }) | null;
      position: number;
    };
    const expected = byUser(promptsAt(log, asked.position, asked.filter));
    const others = new Set(expected.slice(limit).map(({ userId }) => userId));
    const states = promptsAt(log, asked.position, asked.filter).filter(({ userId }) => others.has(userId));
    assert.deepEqual(
      answer.data.map((row) => ({ userId: row.userId, ...flat(row) })),
      expected.slice(0, limit),
      context(seed, asked),
    );
    assert.deepEqual(
      answer.other && { users: answer.other.users, ...flat(answer.other) },
      others.size === 0 ? null : { users: others.size, ...spendOf(states) },
    );
    assert.equal(answer.position, asked.position);
  }
});

/** No fold, no prompts: what was told of each attempt that ended. */
function byCaller(events: RecordedEvent[]): { real: number; emulated: number; ofBoth: string[][] } {
  const attempts = new Map<string, { streamId: string; emulated: boolean; nanoUsd: number | null }>();
  for (const { streamId, type, data } of events) {
    if (!('attempt' in data) || data.attempt === null) continue;
    const key = `${streamId}/${data.attempt}`;
    const attempt = attempts.get(key) ?? { streamId, emulated: false, nanoUsd: null };
    if (type === 'AttemptCostCorrected') attempt.nanoUsd = data.nanoUsd;
    else if ('emulated' in data && attempt.nanoUsd === null)
      Object.assign(attempt, { emulated: data.emulated, nanoUsd: data.nanoUsd });
    attempts.set(key, attempt);
  }
  const told = [...attempts.values()];
  const sum = (of: typeof told) => of.reduce((total, { nanoUsd }) => total + (nanoUsd ?? 0), 0);
  const paid = told.filter(({ nanoUsd }) => (nanoUsd ?? 0) > 0);
  const ofBoth = [...Map.groupBy(paid, ({ streamId }) => streamId).values()]
    .map((of) => of.map(({ emulated }) => (emulated ? 'emulated' : 'real')))
    .filter((of) => new Set(of).size === 2);
  return { real: sum(told.filter((one) => !one.emulated)), emulated: sum(told.filter((one) => one.emulated)), ofBoth };
}

test('what real keys were charged is shown, attempt by attempt, whatever else was tried', async () => {
  const first = new Set(byCaller(log).ofBoth.map(([one]) => one));
  assert.deepEqual(first, new Set(['emulated', 'real']), 'no prompt has attempts of both, either first');
  for (let position = log.length; position > log.length / 2; position -= Math.ceil(log.length / 12)) {
    const { real, emulated } = byCaller(log.slice(0, position));
    for (const what of ['users', 'usage'] as const) {
      const range = what === 'usage' ? { bucket: 'day', from: new Date(START).toISOString() } : {};
      const paid = async (query: Query) => {
        const { data } = await root.stats<Row>(what, { asOf: position, ...range, ...query });
        const sum = (name: 'confirmed' | 'wasted' | 'notional') =>
          data.reduce((total, { cost }) => total + cost[name].nanoUsd, 0);
        return { paid: sum('confirmed') + sum('wasted'), notional: sum('notional') };
      };
      assert.deepEqual(await paid({}), { paid: real, notional: 0 });
      assert.deepEqual(await paid({ emulated: 'only' }), { paid: emulated, notional: emulated });
      assert.deepEqual(await paid({ emulated: 'include' }), { paid: real + emulated, notional: emulated });
    }
    const { data } = await root.stats<{ cost: Money; notional: Money }>('models', { asOf: position });
    assert.equal(
      data.reduce((total, { cost }) => total + cost.nanoUsd, 0),
      real,
    );
  }
});

test('models, with distinct users', async () => {
  type ModelRow = { model: string; prompts: number; users: number; inputTokens: number; cost: Money };
  for (const seed of seeds) {
    const asked = anyQuestion(seed);
    const { data } = await root.stats<ModelRow>('models', asked.query);
    const states = promptsAt(log, asked.position, asked.filter);
    const expected = [...Map.groupBy(states, ({ model }) => model)]
      .map(([model, of]) => {
        const { prompts, inputTokens, confirmed, wasted } = spendOf(of);
        return {
          model,
          prompts,
          users: new Set(of.filter(({ counted }) => counted).map(({ userId }) => userId)).size,
          inputTokens,
          cost: confirmed + wasted,
        };
      })
      .sort((a, b) => b.prompts - a.prompts || (a.model < b.model ? -1 : 1));
    assert.deepEqual(
      data.map(({ model, prompts, users, inputTokens, cost }) => ({
        model,
        prompts,
        users,
        inputTokens,
        cost: cost.nanoUsd,
      })),
      expected,
      context(seed, asked),
    );
  }
});

describe('usage over time', () => {
  /** The day or hour by the calendar of the zone, and its offset, which tells the two hours of one name apart. */
  const calendar = (timeZone: string, bucket: 'hour' | 'day') => {
    const format = new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      ...(bucket === 'hour' && { hour: '2-digit', timeZoneName: 'longOffset' }),
    });
    return (time: string) => format.format(new Date(time));
  };

  for (const groupBy of [undefined, 'model', 'user', 'status'] as const) {
    test(`by ${groupBy ?? 'nothing else'}, in any zone`, async () => {
      for (const seed of seeds) {
        const asked = anyQuestion(seed);
        const random = createRandom(seed + 7);
        const bucket = random.pick(['hour', 'day'] as const);
        const timeZone = random.pick(ZONES);
        const limit = 3;
        // Without a range it looks back from the end; hours of many weeks are more than are answered.
        const end = Math.min(asked.filter.to ?? END, Date.parse(log[asked.position - 1]!.recordedAt));
        asked.filter.from = Math.max(asked.filter.from ?? START, end - (bucket === 'hour' ? 60 : 90) * DAY);
        asked.query.from = new Date(asked.filter.from).toISOString();
        const { data } = await root.stats<
          Row & { bucket: string; model?: string; userId?: string | null; status?: string }
        >('usage', {
          ...asked.query,
          bucket,
          timeZone,
          ...(groupBy && { groupBy }),
          ...(groupBy === 'user' && { limit }),
        });
        const name = calendar(timeZone, bucket);
        const states = promptsAt(log, asked.position, asked.filter);
        // Who is shown: the first by whole days, UTC.
        const days = { ...asked.filter, from: asked.filter.from - (asked.filter.from % DAY) };
        const point = Math.floor(Date.parse(log[asked.position - 1]!.recordedAt) / 900_000) * 900_000 + 900_000;
        const to = Math.min(
          asked.filter.to === undefined ? Number.POSITIVE_INFINITY : asked.filter.to - (asked.filter.to % 900_000),
          asked.query.asOf === undefined ? Number.POSITIVE_INFINITY : point,
        );
        if (Number.isFinite(to)) days.to = Math.ceil(to / DAY) * DAY;
        const top = byUser(promptsAt(log, asked.position, days))
          .slice(0, asked.filter.userId === undefined ? limit : 1_000)
          .map(({ userId }) => userId);
        const member = (state: (typeof states)[number]) => {
          if (groupBy === 'user') return top.includes(state.userId) ? state.userId : null;
          if (groupBy === 'model') return state.model;
          return groupBy === 'status' ? state.status : '';
        };
        const listed = groupBy === 'status' ? states.filter(({ counted }) => counted) : states;
        const expected = [...Map.groupBy(listed, (state) => `${name(state.submittedAt)} ${member(state)}`)].map(
          ([key, of]) => [key, groupBy === 'status' ? of.length : spendOf(of)],
        );
        const told = data.map((row) => [
          `${name(row.bucket)} ${groupBy === 'user' ? row.userId : (row.model ?? row.status ?? '')}`,
          groupBy === 'status' ? row.prompts : flat(row),
        ]);
        const sorted = (rows: unknown[][]) => rows.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
        assert.deepEqual(sorted(told), sorted(expected), `${context(seed, asked)} ${bucket} ${timeZone}`);
        assert.deepEqual(
          data.map((row) => row.bucket),
          data.map((row) => row.bucket).toSorted(),
        );
      }
    });
  }
});

test('latency: every answered prompt counted, percentiles within 5 %', async () => {
  for (const seed of seeds) {
    const asked = anyQuestion(seed);
    asked.filter.from ??= START;
    asked.query.from = new Date(asked.filter.from).toISOString();
    const { data } = await root.stats<{
      measure: 'total';
      count: number;
      p50: number | null;
      p95: number | null;
      p99: number | null;
    }>('latency', asked.query);
    const exact = latenciesOf(promptsAt(log, asked.position, asked.filter));
    for (const row of data) {
      const all = exact[row.measure];
      assert.equal(row.count, all.length, context(seed, asked));
      for (const [told, share] of [
        [row.p50, 0.5],
        [row.p95, 0.95],
        [row.p99, 0.99],
      ] as const) {
        const value = all[Math.ceil(share * all.length) - 1];
        if (value === undefined) assert.equal(told, null);
        else
          assert.ok(
            Math.abs(told! - value) <= Math.max(1, value * 0.05),
            `${told} for ${value}: ${context(seed, asked)}`,
          );
      }
    }
  }
});

test('a user sees own rows only, also looking back', async () => {
  const user = await stack.client('user-3');
  for (const seed of seeds.slice(0, 10)) {
    const { query, position, filter } = anyQuestion(seed);
    const { userId: _, ...rest } = query;
    const { data } = await user.stats<{ userId: string } & Row>('users', rest);
    assert.deepEqual(
      data.map((row) => ({ userId: row.userId, ...flat(row) })),
      byUser(promptsAt(log, position, { ...filter, userId: 'user-3' })),
    );
    const page = await user.prompts({ asOf: position, limit: 200 });
    assert.deepEqual(
      new Set(page.data.map((prompt) => prompt.userId)),
      new Set(page.data.length === 0 ? [] : ['user-3']),
    );
  }
});

describe('history looking back', () => {
  const PAGE = 7;

  test('is, page by page, what it was: status, words and all', async () => {
    for (const seed of seeds.slice(0, 25)) {
      const random = createRandom(seed);
      const position = random.between(1, log.length);
      const status = random.chance(0.6)
        ? random.pick(['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled'])
        : undefined;
      const q = random.chance(0.4) ? random.pick(['sea', 'shore', 'hills']) : undefined;
      const texts = new Map<string, string>();
      for (const event of log.slice(0, position)) {
        if (event.type === 'PromptSubmitted') texts.set(event.streamId, event.data.prompt);
        if (event.type === 'PromptCompleted')
          texts.set(event.streamId, `${texts.get(event.streamId)} ${event.data.answer}`);
      }
      const expected = promptsAt(log, position, { emulated: 'include' })
        .filter(
          (state) =>
            (status === undefined || state.status === status) &&
            (q === undefined || texts.get(state.promptId)!.includes(q)),
        )
        .sort((a, b) =>
          a.submittedAt === b.submittedAt ? (a.promptId < b.promptId ? 1 : -1) : a.submittedAt < b.submittedAt ? 1 : -1,
        )
        .map(({ promptId, status: was, position: at, attempts }) => ({ promptId, was, at, attempts: attempts.length }));
      const found: typeof expected = [];
      let cursor: string | undefined;
      do {
        const page = await root.prompts({ asOf: position, limit: PAGE, status, q, cursor });
        found.push(
          ...page.data.map((prompt) => ({
            promptId: prompt.id,
            was: prompt.status,
            at: prompt.position,
            attempts: prompt.attempts,
          })),
        );
        assert.equal(page.hasMore, page.nextCursor !== null);
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      assert.deepEqual(found, expected, `seed ${seed}: ${position} ${status} ${q}`);
    }
  });

  test('of one prompt is what it was, and before it was asked there is none', async () => {
    const answered = log.find(({ type }) => type === 'PromptCompleted')!;
    const then = await root.prompt(answered.streamId, { asOf: answered.position - 1 });
    assert.deepEqual([then.answer, then.finishedAt], [null, null]);
    assert.notEqual((await root.prompt(answered.streamId, { asOf: answered.recordedAt })).answer, null);
    const late = log.findLast(({ type }) => type === 'PromptSubmitted')!;
    await assert.rejects(root.prompt(late.streamId, { asOf: late.position - 1 }), { code: 'not_found' });
    const stranger = await stack.client('stranger');
    await assert.rejects(stranger.prompt(answered.streamId, { asOf: answered.position }), { code: 'not_found' });
  });

  for (const asOf of ['2999-01-01T00:00:00Z', '1999-01-01T00:00:00Z', '0', '99999999', 'noon', '-3', '1.5']) {
    test(`(${asOf}) is 400`, async () => {
      await assert.rejects(root.prompts({ asOf }), { status: 400, code: 'invalid_request' });
      await assert.rejects(root.prompt(log[0]!.streamId, { asOf }), { status: 400, code: 'invalid_request' });
    });
  }
});

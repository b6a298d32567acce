/** Every figure against one made from the events by another, slower way. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import type { RecordedEvent } from '../contracts/envelope.ts';
import { createAppender } from '../platform/postgres/appender.ts';
import { createPool } from '../platform/postgres/pool.ts';
import { readAll, toEvent } from '../platform/postgres/read.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { appendHistory } from '../testing/kit/histories.ts';
import { type Client, startTestStack, type TestStack } from '../testing/kit/stack.ts';

const t = cleanup(after);
const PROMPTS = 60;
let stack: TestStack;
let pool: pg.Pool;
let root: Client;
let minPosition: number;
let streams: RecordedEvent[][];

before(async () => {
  stack = await startTestStack(t);
  pool = createPool({ uri: stack.database.uri, name: 'stats-test', max: 4, onError: () => {} });
  t.after(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  await Promise.all(Array.from({ length: PROMPTS }, (_, i) => appendHistory(appender.append, i)));
  await appender.stop();
  root = await stack.client('root', 'admin');
  const events = (await readAll(pool, 0, 100_000)).map(toEvent);
  minPosition = events.length;
  streams = [...Map.groupBy(events, (event) => event.streamId).values()];
});

type Account = {
  userId: string;
  model: string;
  status: string;
  emulated: boolean;
  submittedAt: string;
  input: number;
  output: number;
  thought: number;
  confirmed: number;
  wasted: number;
  unknown: number;
  notional: number;
};

/** One prompt's account by the rules as they are told: an attempt's last known cost counts, its bound while none is. */
function accountOf(events: RecordedEvent[]): Account {
  const [first] = events;
  assert.ok(first?.type === 'PromptSubmitted');
  const attempts = new Map<
    number,
    {
      nanoUsd: number | null;
      bound: number;
      answered: boolean;
      usage: { inputTokens: number; outputTokens: number; thoughtTokens: number } | null;
    }
  >();
  let status = 'queued';
  let emulated = false;
  for (const event of events) {
    if (event.type === 'AttemptStarted') status = 'running';
    if (event.type === 'AttemptFailed') status = 'retrying';
    if (event.type === 'PromptCompleted' || event.type === 'AttemptFailed' || event.type === 'AttemptDiscarded') {
      const { attempt, nanoUsd, boundNanoUsd, usage } = event.data;
      emulated ||= event.data.emulated;
      if (nanoUsd !== null || !attempts.has(attempt)) {
        attempts.set(attempt, { nanoUsd, bound: boundNanoUsd ?? 0, usage, answered: event.type === 'PromptCompleted' });
      }
    }
  }
  for (const event of events) {
    if (event.type === 'PromptCompleted') status = 'completed';
    if (event.type === 'PromptFailed') status = 'failed';
    if (event.type === 'PromptCancelled') status = 'cancelled';
  }
  const all = [...attempts.values()];
  const sum = (of: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0);
  const [confirmed, wasted] = [
    sum((one) => (one.answered ? (one.nanoUsd ?? 0) : 0)),
    sum((one) => (one.answered ? 0 : (one.nanoUsd ?? 0))),
  ];
  return {
    userId: first.data.userId,
    model: first.data.model,
    status,
    emulated,
    submittedAt: first.recordedAt,
    input: sum((one) => one.usage?.inputTokens ?? 0),
    output: sum((one) => one.usage?.outputTokens ?? 0),
    thought: sum((one) => one.usage?.thoughtTokens ?? 0),
    confirmed,
    wasted,
    unknown: sum((one) => (one.nanoUsd === null ? one.bound : 0)),
    notional: emulated ? confirmed + wasted : 0,
  };
}

type Group = Omit<Account, 'status' | 'emulated' | 'submittedAt' | 'userId' | 'model'> & {
  key: string;
  prompts: number;
  completed: number;
  failed: number;
  users: number;
};
function groups(accounts: Account[], key: (account: Account) => string): Group[] {
  return [...Map.groupBy(accounts, key)]
    .map(([name, of]) => {
      const sum = (what: 'input' | 'output' | 'thought' | 'confirmed' | 'wasted' | 'unknown' | 'notional') =>
        of.reduce((total, one) => total + one[what], 0);
      return {
        key: name,
        prompts: of.length,
        completed: of.filter((one) => one.status === 'completed').length,
        failed: of.filter((one) => one.status === 'failed').length,
        users: new Set(of.map((one) => one.userId)).size,
        input: sum('input'),
        output: sum('output'),
        thought: sum('thought'),
        confirmed: sum('confirmed'),
        wasted: sum('wasted'),
        unknown: sum('unknown'),
        notional: sum('notional'),
      };
    })
    .sort((a, b) => a.key.localeCompare(b.key));
}
const real = () => streams.map(accountOf).filter((account) => !account.emulated);
const everything = () => streams.map(accountOf);

type Money = { nanoUsd: number };
type Spend = {
  prompts: number;
  completed: number;
  failed: number;
  inputTokens: number;
  outputTokens: number;
  thoughtTokens: number;
  cost: { confirmed: Money; wasted: Money; unknownBound: Money; notional: Money };
};
const flat = (key: string, row: Spend) => ({
  key,
  prompts: row.prompts,
  completed: row.completed,
  failed: row.failed,
  input: row.inputTokens,
  output: row.outputTokens,
  thought: row.thoughtTokens,
  confirmed: row.cost.confirmed.nanoUsd,
  wasted: row.cost.wasted.nanoUsd,
  unknown: row.cost.unknownBound.nanoUsd,
  notional: row.cost.notional.nanoUsd,
});
const withoutUsers = (all: Group[]) => all.map(({ users: _, ...rest }) => rest);
const byKey = <T extends { key: string }>(rows: T[]): T[] => rows.toSorted((a, b) => a.key.localeCompare(b.key));

async function stats<T>(
  path: 'users' | 'models' | 'usage' | 'latency',
  query: Record<string, string | number> = {},
  client = root,
): Promise<T[]> {
  return (await client.stats<T>(path, { minPosition, ...query })).data;
}

describe('cost per user', () => {
  test('is the sum over the events, to the nano-dollar, without emulated answers once a real one exists', async () => {
    const rows = await stats<Spend & { userId: string }>('users');
    assert.deepEqual(byKey(rows.map((row) => flat(row.userId, row))), withoutUsers(groups(real(), (a) => a.userId)));
    assert.ok(rows.some((row) => row.cost.wasted.nanoUsd > 0));
  });

  test('can include the emulated, or show them alone', async () => {
    const included = await stats<Spend & { userId: string }>('users', { emulated: 'include' });
    assert.deepEqual(
      byKey(included.map((row) => flat(row.userId, row))),
      withoutUsers(groups(everything(), (a) => a.userId)),
    );
    const only = await stats<Spend & { userId: string }>('users', { emulated: 'only' });
    const emulated = everything().filter((account) => account.emulated);
    assert.deepEqual(byKey(only.map((row) => flat(row.userId, row))), withoutUsers(groups(emulated, (a) => a.userId)));
    const notional = (rows: Spend[]) => rows.reduce((sum, { cost }) => sum + cost.notional.nanoUsd, 0);
    const charged = (rows: Spend[]) =>
      rows.reduce((sum, { cost: { confirmed, wasted } }) => sum + confirmed.nanoUsd + wasted.nanoUsd, 0);
    assert.ok(notional(included) > 0 && notional(included) < charged(included));
    assert.deepEqual([notional(only), notional(await stats('users'))], [charged(only), 0]);
  });

  test('of a user is their own row; of a model, what was spent on it', async () => {
    const own = await stats<Spend & { userId: string }>('users', { emulated: 'include' }, await stack.client('user-3'));
    const theirs = everything().filter(({ userId }) => userId === 'user-3');
    assert.deepEqual(
      own.map((row) => flat(row.userId, row)),
      withoutUsers(groups(theirs, (a) => a.userId)),
    );
    const model = 'gemini-2.5-pro';
    const pro = await stats<Spend & { userId: string }>('users', { emulated: 'include', model });
    const onPro = everything().filter((account) => account.model === model);
    assert.deepEqual(byKey(pro.map((row) => flat(row.userId, row))), withoutUsers(groups(onPro, (a) => a.userId)));
  });

  test('over a time is that of what was submitted in it', async () => {
    const far = { from: '2020-01-01T00:00:00Z', to: '2020-02-01T00:00:00Z' };
    assert.deepEqual(await stats('users', far), []);
    const around = await stats<Spend & { userId: string }>('users', {
      emulated: 'include',
      from: new Date(Date.now() - 3_600_000).toISOString(),
      to: new Date(Date.now() + 3_600_000).toISOString(),
    });
    assert.deepEqual(
      byKey(around.map((row) => flat(row.userId, row))),
      withoutUsers(groups(everything(), (a) => a.userId)),
    );
  });

  test('carries the position it speaks of', async () => {
    const answer = await root.stats('users', { minPosition });
    assert.equal(answer.position, minPosition);
    assert.equal(answer.asOf, streams.flat().find(({ position }) => position === minPosition)?.recordedAt);
  });
});

test('the popularity of models counts prompts and distinct users, and shares sum to one', async () => {
  type Row = {
    model: string;
    prompts: number;
    users: number;
    share: number;
    inputTokens: number;
    cost: Money;
    notional: Money;
  };
  const rows = await stats<Row>('models', { emulated: 'include' });
  assert.deepEqual(
    byKey(
      rows.map((row) => ({
        key: row.model,
        prompts: row.prompts,
        users: row.users,
        input: row.inputTokens,
        cost: row.cost.nanoUsd,
        notional: row.notional.nanoUsd,
      })),
    ),
    groups(everything(), (a) => a.model).map(({ key, prompts, users, input, confirmed, wasted, notional }) => ({
      key,
      prompts,
      users,
      input,
      cost: confirmed + wasted,
      notional,
    })),
  );
  const shares = rows.reduce((sum, { share }) => sum + share, 0);
  assert.ok(Math.abs(shares - 1) < 1e-9);
});

describe('usage over time', () => {
  type Row = Spend & { bucket: string; model?: string; userId?: string; status?: string };
  const hourOf = (account: Account) => `${account.submittedAt.slice(0, 13)}:00:00.000Z`;
  const dayOf = (account: Account) => `${account.submittedAt.slice(0, 10)}T00:00:00.000Z`;

  test('sums to the same, by hour and day, by model and user', async () => {
    for (const [bucket, bucketOf] of [
      ['hour', hourOf],
      ['day', dayOf],
    ] as const) {
      for (const groupBy of ['model', 'user'] as const) {
        const rows = await stats<Row>('usage', { bucket, groupBy, emulated: 'include' });
        const member = (account: Account) => (groupBy === 'model' ? account.model : account.userId);
        assert.deepEqual(
          byKey(rows.map((row) => flat(`${row.bucket} ${groupBy === 'model' ? row.model : row.userId}`, row))),
          withoutUsers(groups(everything(), (account) => `${bucketOf(account)} ${member(account)}`)),
        );
      }
    }
  });

  test('by status counts the present ones in the bucket of their submission', async () => {
    const rows = await stats<Row>('usage', { groupBy: 'status', emulated: 'include' });
    assert.deepEqual(
      byKey(rows.map((row) => ({ key: `${row.bucket} ${row.status}`, prompts: row.prompts }))),
      groups(everything(), (account) => `${hourOf(account)} ${account.status}`).map(({ key, prompts }) => ({
        key,
        prompts,
      })),
    );
  });
});

test('latency percentiles are within 5 % of those of the single prompts', async () => {
  const rows = await stats<{ measure: string; count: number; p50: number; p99: number }>('latency', {
    emulated: 'include',
  });
  const totals = streams
    .filter((events) => events.some(({ type }) => type === 'PromptCompleted'))
    .map(
      (events) =>
        Date.parse(events.find(({ type }) => type === 'PromptCompleted')!.recordedAt) -
        Date.parse(events[0]!.recordedAt),
    )
    .sort((a, b) => a - b);
  const total = rows.find(({ measure }) => measure === 'total')!;
  assert.equal(total.count, totals.length);
  for (const [told, share] of [
    [total.p50, 0.5],
    [total.p99, 0.99],
  ] as const) {
    const exact = totals[Math.ceil(share * totals.length) - 1]!;
    assert.ok(Math.abs(told - exact) <= Math.max(1, exact * 0.05), `${told} for ${exact}`);
  }
});

describe('CSV', () => {
  const csv = async (
    path: string,
    headers: Record<string, string> = {},
    userId = 'root',
    role: 'user' | 'admin' = 'admin',
  ) =>
    fetch(new URL(`/stats/${path}`, stack.address), {
      headers: { authorization: `Bearer ${await stack.key(userId, role)}`, ...headers },
    });

  test('has the rows of the answer, its position and a name for the file', async () => {
    const response = await csv(`models?emulated=include&minPosition=${minPosition}`, { accept: 'text/csv' });
    assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8');
    assert.equal(response.headers.get('content-disposition'), 'attachment; filename="models.csv"');
    assert.equal(response.headers.get('x-position'), String(minPosition));
    const lines = (await response.text()).split('\r\n');
    assert.equal(lines.length, groups(everything(), (a) => a.model).length + 2);
    assert.match(lines[0]!, /^model,prompts,users,share,/);
    const twice = await root.statsCsv('models', { emulated: 'include', minPosition });
    assert.equal(twice, lines.join('\r\n'));
  });

  test('of many users ends with all others in one row, and a user sees own rows only', async () => {
    const lines = (await root.statsCsv('users', { emulated: 'include', limit: 2, minPosition })).split('\r\n');
    assert.equal(lines.length, 1 + 2 + 1 + 1);
    assert.ok(lines[3]!.startsWith(','));
    const own = await csv(`users?format=csv&emulated=include&minPosition=${minPosition}`, {}, 'user-3', 'user');
    assert.match(await own.text(), /^userId,[^\r]*\r\nuser-3,[^\r]*\r\n$/);
  });

  test('is not what a refusal is told in', async () => {
    const response = await csv('users?asOf=0&format=csv', { accept: 'text/csv' });
    assert.deepEqual(
      [response.status, response.headers.get('content-type')?.split(';')[0]],
      [400, 'application/problem+json'],
    );
  });
});

describe('a question that makes no sense', () => {
  const cases = [
    'users?from=yesterday',
    'users?limit=0',
    'users?limit=10001',
    'models?limit=5',
    'usage?limit=5',
    'usage?groupBy=user&limit=101',
    'usage?timeZone=Mars/Olympus',
    'users?format=xml',
    'users?asOf=2020-01-01T00:00:00Z',
    'users?asOf=2999-01-01T00:00:00Z',
    'users?asOf=0',
    'users?asOf=999999999',
    'users?asOf=99999999999999999999999',
    'users?asOf=yesterday',
    'users?asOf=-1',
    'usage?bucket=week',
    'usage?groupBy=lane',
    'models?emulated=maybe',
    'users?minPosition=-1',
    'users?model=a&model=b',
    'latency?from=2026-02-30T00:00:00Z',
  ];
  for (const path of cases) {
    test(`(${path}) is 400`, async () => {
      const response = await fetch(new URL(`/stats/${path}`, stack.address), {
        headers: { authorization: `Bearer ${await stack.key('ada')}` },
      });
      assert.equal(response.status, 400);
    });
  }
});

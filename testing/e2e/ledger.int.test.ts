/** Accounts as their users see them: entries, and a cost that is put right. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError, type Client } from '../../client/client.ts';
import { newId } from '../../platform/ids.ts';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
let stack: TestStack;
let ada: Client;
let ken: Client;
let root: Client;
let adaKey: string;
before(async () => {
  stack = await startTestStack(t, { env: { RETRY_BASE_SECONDS: '0.01', RETRY_CAP_SECONDS: '0.05' } });
  adaKey = await stack.key('ada');
  ada = await stack.client('ada');
  ken = await stack.client('ken');
  root = await stack.client('root', 'admin');
});

const MODEL = 'gemini-2.5-flash';
let count = 0;
/** Each a question of its own: the emulator's faults come in the order of the calls with the same text. */
const ask = async (client: Client, emulate: object = {}) =>
  (await client.ask({ prompt: `what is due ${++count}? [[emulate ${JSON.stringify(emulate)}]]`, model: MODEL })).id;
const done = (client: Client, id: string) => client.prompt(id, { wait: 20 });
const refusal = (status: number, code: string) => (error: unknown) =>
  error instanceof ApiError && error.status === status && error.code === code;

describe('GET /ledger', () => {
  test('has every attempt, its state and its cost; a user’s own, an admin’s all', async () => {
    const plain = await done(ada, await ask(ada, { outputTokens: 7 }));
    const twice = await done(ada, await ask(ada, { faults: ['503', 'ok'] }));
    const cut = await done(ada, await ask(ada, { faults: ['cut-at-event', 'ok'] }));
    const others = await done(ken, await ask(ken));
    const running = await ask(ada, { delayMs: 60_000 });
    await until('it runs', async () => (await ada.prompt(running)).status === 'running');
    const minPosition = Math.max(cut.position, others.position, (await ada.prompt(running)).position);
    const { data, position, hasMore } = await ada.ledger({ minPosition });
    assert.ok(position >= minPosition);
    assert.equal(hasMore, false);
    const of = (id: string) =>
      data
        .filter(({ promptId }) => promptId === id)
        .map(({ attempt, state, cost, bound }) => [attempt, state, cost?.nanoUsd ?? null, bound !== null])
        .reverse();
    assert.deepEqual(of(plain.id), [[1, 'confirmed', plain.cost!.nanoUsd, false]]);
    assert.deepEqual(of(twice.id), [
      [1, 'void', 0, false],
      [2, 'confirmed', twice.cost!.nanoUsd, false],
    ]);
    assert.deepEqual(of(cut.id).at(-1), [2, 'confirmed', cut.cost!.nanoUsd, false]);
    assert.equal(of(cut.id)[0]?.[1], 'unknown');
    assert.deepEqual(of(running), [[1, 'reserved', null, true]]);
    assert.deepEqual(of(others.id), []);
    assert.deepEqual([...new Set(data.map(({ userId, notional }) => `${userId} ${notional}`))].sort(), [
      'ada false', // of attempts that nobody answered
      'ada true',
    ]);
    assert.ok((await root.ledger({ minPosition })).data.some(({ promptId }) => promptId === others.id));
    assert.deepEqual([...new Set((await root.ledger({ userId: 'ken' })).data.map(({ userId }) => userId))], ['ken']);
    await ada.cancel(running);
  });

  test('comes in pages, by state, by prompt and by time', async () => {
    const all = (await ada.ledger({ limit: 1_000 })).data;
    const paged = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await ada.ledger({ limit: 2, ...(cursor && { cursor }) });
      paged.push(...page.data);
      cursor = page.nextCursor;
    }
    assert.deepEqual(paged, all);
    assert.deepEqual(
      (await ada.ledger({ state: 'unknown' })).data,
      all.filter(({ state }) => state === 'unknown'),
    );
    const [newest] = all;
    assert.deepEqual(
      (await ada.ledger({ promptId: newest!.promptId })).data,
      all.filter(({ promptId }) => promptId === newest!.promptId),
    );
    const third = all[2]!.reservedAt;
    assert.deepEqual(
      (await ada.ledger({ from: third })).data,
      all.filter(({ reservedAt }) => reservedAt >= third),
    );
    assert.deepEqual(
      (await ada.ledger({ to: third })).data,
      all.filter(({ reservedAt }) => reservedAt < third),
    );
  });

  test('is a spreadsheet for who asks for one', async () => {
    const response = await fetch(`${stack.address}/ledger?format=csv&limit=3`, {
      headers: { authorization: `Bearer ${adaKey}` },
    });
    const lines = (await response.text()).split('\r\n');
    assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8');
    assert.match(lines[0]!, /^promptId,attempt,userId,model,state,costNanoUsd,costUsd,boundNanoUsd,boundUsd,/);
    assert.equal(lines.length, 5);
    assert.ok(response.headers.get('x-next-cursor'));
  });

  test('refuses what it cannot answer, by name', async () => {
    await assert.rejects(ada.ledger({ userId: 'ken' }), refusal(400, 'invalid_request'));
    await assert.rejects(ada.ledger({ cursor: 'bm90IG9uZQ' }), refusal(400, 'invalid_request'));
    await assert.rejects(ada.ledger({ state: 'paid' }), refusal(400, 'invalid_request'));
    await assert.rejects(ada.ledger({ minPosition: 1e9 }), refusal(503, 'read_model_behind'));
  });
});

describe('a cost that is put right', () => {
  test('counts everywhere, once, and stands in the timeline with who did it and why', async () => {
    const before = await done(ken, await ask(ken, { faults: ['cut-at-event', 'ok'] }));
    assert.ok(before.spend.unknownBound.nanoUsd > 0);
    const first = await root.correctCost(before.id, 1, 1_234, 'on the bill');
    const again = await root.correctCost(before.id, 1, 1_234, 'on the bill');
    assert.deepEqual(again, first);
    const corrected = await ken.prompt(before.id, { minPosition: first.position });
    assert.deepEqual(
      [corrected.spend.wasted.nanoUsd, corrected.spend.unknownBound.nanoUsd, corrected.cost],
      [1_234, 0, before.cost],
    );
    const second = await root.correctCost(before.id, 2, 99, 'on the bill');
    assert.equal((await ken.prompt(before.id, { minPosition: second.position })).cost?.nanoUsd, 99);
    const { data } = await ken.ledger({ promptId: before.id, minPosition: second.position });
    assert.deepEqual(
      data.map(({ attempt, state, cost, corrected: put }) => [attempt, state, cost?.nanoUsd, put]),
      [
        [2, 'confirmed', 99, true],
        [1, 'wasted', 1_234, true],
      ],
    );
    const response = await fetch(`${stack.address}/prompts/${before.id}/events`, {
      headers: { authorization: `Bearer ${await stack.key('ken')}` },
    });
    const timeline = ((await response.json()) as { data: { type: string; data: Record<string, unknown> }[] }).data;
    const events = timeline.filter(({ type }) => type === 'AttemptCostCorrected');
    assert.deepEqual(
      events.map((event) => [event.data['attempt'], event.data['nanoUsd'], event.data['reason'], event.data['by']]),
      [
        [1, 1_234, 'on the bill', 'user:root'],
        [2, 99, 'on the bill', 'user:root'],
      ],
    );
    const stats = await root.stats<{ userId: string; cost: { wasted: { nanoUsd: number } } }>('users', {
      userId: 'ken',
      minPosition: second.position,
      emulated: 'include',
    });
    assert.equal(stats.data[0]?.cost.wasted.nanoUsd, 1_234);
  });

  test('is for admins, of an attempt that there is and that has ended', async () => {
    const { id } = await done(ada, await ask(ada));
    await assert.rejects(ada.correctCost(id, 1, 5, 'mine'), refusal(403, 'forbidden'));
    await assert.rejects(root.correctCost(id, 2, 5, 'none'), refusal(404, 'not_found'));
    await assert.rejects(root.correctCost(newId(), 1, 5, 'none'), refusal(404, 'not_found'));
    await assert.rejects(root.correctCost(id, 1, -5, 'less'), refusal(400, 'invalid_request'));
    await assert.rejects(root.correctCost(id, 1, 5, ''), refusal(400, 'invalid_request'));
    const running = await ask(ada, { delayMs: 60_000 });
    await until('it runs', async () => (await ada.prompt(running)).status === 'running');
    await assert.rejects(root.correctCost(running, 1, 5, 'early'), refusal(409, 'wrong_state'));
    await ada.cancel(running);
  });
});

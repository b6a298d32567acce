/** Bulk redrive through the whole system: what a filter reaches, whose prompts, how much of it, and what is kept of it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError, type Client } from '../../client/client.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { completed, fail, failMany, REASON, requeuesOf, type Settings, statusOf } from './redrive-bulk-prompts.ts';

const t = cleanup(after);
let stack: TestStack;
let root: Client;
before(async () => {
  stack = await startTestStack(t);
  root = await stack.client('root', 'admin');
});

const requeues = (userId: string) => requeuesOf(stack.database.pool, userId);

describe('a filter', () => {
  const cases: [what: string, other: Settings, one: Settings, filter: (one: Prompt) => object][] = [
    [
      'by model',
      { model: 'gemini-2.5-flash' },
      { model: 'gemini-2.5-flash-lite' },
      () => ({ model: 'gemini-2.5-flash-lite' }),
    ],
    ['by code', { fault: 'safety' }, { fault: 'max-tokens-empty' }, () => ({ code: 'max_tokens' })],
    [
      'by conversation',
      { conversationId: '019aaf00-0000-7000-8000-0000000000aa' },
      { conversationId: '019aaf00-0000-7000-8000-0000000000bb' },
      () => ({ conversationId: '019AAF00-0000-7000-8000-0000000000BB' }),
    ],
    ['from a time on', {}, {}, (one) => ({ from: one.submittedAt })],
  ];
  for (const [what, other, one, filter] of cases) {
    test(`${what} reaches what matches and leaves the rest failed`, async () => {
      const client = await stack.client(`filter ${what}`);
      const left = await fail(client, other);
      const wanted = await fail(client, one);
      const answer = await client.retryAll(filter(wanted), REASON);
      assert.deepEqual(answer, { matched: 1, requeued: 1, skipped: [], more: false });
      await completed(client, wanted);
      assert.equal(await statusOf(client, left), 'failed');
    });
  }

  test('of a range of time takes its start in and leaves its end out', async () => {
    const client = await stack.client('range');
    const prompts: Prompt[] = [];
    for (let i = 0; i < 3; i += 1) prompts.push(await fail(client));
    const [first, second, third] = prompts as [Prompt, Prompt, Prompt];
    // The same moment in another offset.
    const from = `${new Date(Date.parse(second.submittedAt) + 7_200_000).toISOString().slice(0, -1)}+02:00`;
    const answer = await client.retryAll({ from, to: third.submittedAt }, REASON);
    assert.deepEqual([answer.matched, answer.requeued], [1, 1]);
    await completed(client, second);
    assert.deepEqual([await statusOf(client, first), await statusOf(client, third)], ['failed', 'failed']);
  });

  test('that says nothing reaches all failed prompts of the user, and no others', async () => {
    const client = await stack.client('all');
    const failed = await failMany(client, 5);
    const { id } = await client.ask({ prompt: 'x' });
    const other = await client.prompt(id, { wait: 20 });
    const answer = await client.retryAll({}, REASON);
    assert.deepEqual(answer, { matched: 5, requeued: 5, skipped: [], more: false });
    for (const prompt of failed) await completed(client, prompt);
    assert.equal((await client.prompt(id)).position, other.position);
    assert.equal((await client.retryAll({}, REASON)).requeued, 0);
  });
});

describe('whose prompts', () => {
  test('a user’s own only: another user’s stay failed', async () => {
    const [ada, bob] = [await stack.client('own ada'), await stack.client('own bob')];
    const [hers, his] = [await fail(ada), await fail(bob)];
    assert.equal((await ada.retryAll({}, REASON)).matched, 1);
    await completed(ada, hers);
    assert.equal(await statusOf(bob, his), 'failed');
    assert.deepEqual([(await requeues('own ada')).length, (await requeues('own bob')).length], [1, 0]);
  });

  test('an admin’s choice: one user’s, or everybody’s', async () => {
    await root.retryAll({}, 'what other tests have left');
    const [ada, bob] = [await stack.client('adm ada'), await stack.client('adm bob')];
    const [hers, his] = [await fail(ada), await fail(bob)];
    assert.equal((await root.retryAll({ userId: 'adm ada' }, REASON)).requeued, 1);
    await completed(ada, hers);
    assert.equal(await statusOf(bob, his), 'failed');
    const again = await fail(ada);
    assert.equal((await root.retryAll({}, REASON)).requeued, 2);
    await Promise.all([completed(ada, again), completed(bob, his)]);
  });

  test('a user who names one is refused, even by the own name', async () => {
    const ada = await stack.client('naming');
    const prompt = await fail(ada);
    await assert.rejects(ada.retryAll({ userId: 'naming' }, REASON), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, error.code], [400, 'invalid_request']);
      assert.deepEqual((error.problem as { errors: object[] }).errors, [
        { pointer: '/filter/userId', message: 'is for admins' },
      ]);
      return true;
    });
    assert.equal(await statusOf(ada, prompt), 'failed');
  });
});

describe('how much', () => {
  test('a dry run tells what would be done, and does none of it', async () => {
    const client = await stack.client('dry');
    const prompts = await failMany(client, 3);
    const head = async () => (await stack.database.pool.query('SELECT position FROM log_head')).rows[0];
    const before = await head();
    assert.deepEqual(await client.retryAll({}, REASON, { dryRun: true }), {
      matched: 3,
      requeued: 0,
      skipped: [],
      more: false,
    });
    const part = await client.retryAll({}, REASON, { dryRun: true, limit: 2 });
    assert.deepEqual([part.matched, part.more], [2, true]);
    assert.deepEqual(await head(), before);
    for (const prompt of prompts) assert.equal(await statusOf(client, prompt), 'failed');
  });

  test('the oldest first, up to the limit; called again while there is more, all of them once', async () => {
    const client = await stack.client('loop');
    const prompts = await failMany(client, 23);
    const oldest = prompts.toSorted((a, b) => (a.submittedAt < b.submittedAt ? -1 : 1));
    const answers = [];
    do {
      const answer = await client.retryAll({}, REASON, { limit: 10 });
      assert.ok(answer.matched <= 10);
      answers.push(answer);
      if (answers.length > 1) continue;
      await completed(client, oldest[0]!);
      assert.equal(await statusOf(client, oldest.at(-1)!), 'failed');
    } while (answers.at(-1)!.more);
    assert.equal(
      answers.reduce((sum, { requeued }) => sum + requeued, 0),
      23,
    );
    assert.deepEqual(
      await requeues('loop'),
      Array.from({ length: 23 }, () => 1),
    );
    for (const prompt of prompts) await completed(client, prompt);
  });

  test('two at the same time send each prompt again exactly once', async () => {
    const ada = await stack.client('race');
    const prompts = await failMany(ada, 130);
    const answers = await Promise.all([ada.retryAll({}, REASON), root.retryAll({ userId: 'race' }, REASON)]);
    assert.equal(answers[0].requeued + answers[1].requeued, 130, JSON.stringify(answers));
    assert.deepEqual(
      await requeues('race'),
      Array.from({ length: 130 }, () => 1),
    );
    for (const { skipped, requeued, matched } of answers) {
      assert.equal(skipped.length + requeued, matched);
      assert.ok(skipped.every(({ code }) => code === 'wrong_state'));
    }
    for (const prompt of prompts) await completed(ada, prompt);
  });
});

test('the reason, and who gave it, are in the timeline of each', async () => {
  const ada = await stack.client('reasons');
  const prompts = await failMany(ada, 2);
  await root.retryAll({ userId: 'reasons' }, REASON);
  const headers = { authorization: `Bearer ${await stack.key('reasons')}` };
  for (const { id } of prompts) {
    await completed(ada, { id });
    const response = await fetch(`${stack.address}/prompts/${id}/events`, { headers });
    const { data } = (await response.json()) as { data: { type: string; data: { reason?: string; by?: string } }[] };
    const told = data.filter(({ type }) => type === 'PromptRequeued').map(({ data: { reason, by } }) => [reason, by]);
    assert.deepEqual(told, [[REASON, 'user:root']]);
  }
});

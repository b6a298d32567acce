/** What becomes of a prompt, its row and its money after each end of a call. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decodeText } from '../contracts/answer-text.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import {
  allDone,
  billed,
  budget,
  callOf,
  completed,
  createRig,
  createScript,
  NANO_USD,
  type Rig,
  unbilled,
  usage,
} from '../testing/kit/worker-rig.ts';
import type { Outcome, Retry } from './providers/provider.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

const retry = (more: Partial<Retry> = {}): Retry => ({
  type: 'retry',
  code: 'rate_limited',
  message: 'slow down',
  billing: unbilled,
  emulated: false,
  ...more,
});
const lost: Outcome = {
  type: 'unknown',
  code: 'connection_lost',
  message: 'cut',
  billing: { known: false, rawUsage: null },
  emulated: false,
};
const milliseconds = (from: string, to: string) => Date.parse(to) - Date.parse(from);

describe('an answer', () => {
  test('with U+0000 and lone surrogates is stored without loss', async (c) => {
    const line = rig.createLine();
    const answer = 'nul \u0000, high \ud800, low \udc00, pair 😀, \\u0000, "quoted"';
    const promptId = await rig.submit();
    await line.dispatch(promptId);
    const billing = { known: true, usage, rawUsage: { note: '\u0000\udfff' } } as const;
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => completed(answer, { billing })),
    );
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'PromptCompleted');
    assert.equal(decodeText({ text: last.data.answer, encoding: last.data.encoding }), answer);
    assert.deepEqual(last.data.rawUsage, { note: '\ufffd\ufffd' });
    assert.deepEqual([last.data.usage, last.data.nanoUsd, last.data.priceVersion], [usage, NANO_USD, 'test@2']);
    assert.equal(await rig.row(promptId), null);
  });
});

describe('a call that is to be tried again', () => {
  test('is due when the provider wished, after the time of the record', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => retry({ afterSeconds: 7.25, billing: billed })),
    );
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    const row = await rig.row(promptId);
    assert.ok(last?.type === 'AttemptFailed' && row);
    assert.equal(last.data.retryInSeconds, 7.25);
    assert.equal(milliseconds(last.recordedAt, row.due_at), 7_250);
    assert.deepEqual([row.state, row.token, row.dispatch], ['open', null, null]);
    assert.deepEqual([last.data.nanoUsd, last.data.usage], [NANO_USD, usage]);
    assert.equal((await line.results())[0]?.['type'], 'AttemptFailed');
  });

  test('without a wish is due after the backoff of its number', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => retry());
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      {
        budget: () => ({ ...budget, maxAttempts: 9, baseSeconds: 100, capSeconds: 300, random: 0.5 }),
      },
    );
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await rig.database.pool.query('UPDATE outbox SET due_at = now() WHERE prompt_id = $1', [promptId]);
      await line.dispatch(promptId);
      await allDone(line);
      const row = await rig.row(promptId);
      const last = (await rig.events(promptId)).at(-1);
      assert.ok(row && last);
      pauses.push(milliseconds(last.recordedAt, row.due_at));
    }
    assert.deepEqual(pauses, [75_000, 150_000, 225_000]);
  });

  test('fails the prompt when its attempts are used up, each with its own cost', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => retry({ billing: billed }));
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await line.dispatch(promptId);
      await callOf(script, promptId, attempt);
      await allDone(line);
    }
    const events = await rig.events(promptId);
    assert.deepEqual(
      events.map(({ type, data }) => [type, 'nanoUsd' in data ? data.nanoUsd : null]),
      [
        ['PromptSubmitted', null],
        ['AttemptStarted', null],
        ['AttemptFailed', NANO_USD],
        ['AttemptStarted', null],
        ['AttemptFailed', NANO_USD],
        ['AttemptStarted', null],
        ['AttemptFailed', NANO_USD],
        ['PromptFailed', null],
      ],
    );
    const last = events.at(-1);
    assert.ok(last?.type === 'PromptFailed');
    assert.equal(last.data.code, 'attempts_exhausted');
    assert.equal(await rig.row(promptId), null);
    assert.deepEqual(
      script.calls.map(({ request }) => request.attemptId),
      [1, 2, 3].map((attempt) => `${promptId}/${attempt}`),
    );
    const [, , told] = await line.results();
    assert.deepEqual([told?.['type'], told?.['attempt']], ['PromptFailed', '3']);
    assert.equal(told?.['position'], `${last.position}`);
  });
});

describe('a prompt that may be called once', () => {
  for (const [what, outcome, code] of [
    ['a retry', retry(), 'rate_limited'],
    ['an unknown end', lost, 'outcome_unknown'],
    ['a fault of the provider’s code', new Error('a fault'), 'outcome_unknown'],
  ] as const) {
    test(`fails after ${what}`, async (c) => {
      const line = rig.createLine();
      const promptId = await rig.submit({ retry: 'never' });
      const script = createScript();
      await line.dispatch(promptId);
      line.worker(
        cleanup((fn) => c.after(fn)),
        script,
      );
      (await callOf(script, promptId)).end(outcome);
      await allDone(line);
      const last = (await rig.events(promptId)).at(-1);
      assert.ok(last?.type === 'PromptFailed');
      assert.equal(last.data.code, code);
      assert.equal(await rig.row(promptId), null);
      assert.equal(script.calls.length, 1);
    });
  }
});

describe('an end that nobody knows', () => {
  test('of a provider that throws is recorded with its bound, and its words are not', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    (await callOf(script, promptId)).end(new TypeError('key=secret'));
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'AttemptFailed');
    assert.deepEqual([last.data.end, last.data.code], ['unknown', 'provider_fault']);
    assert.deepEqual([last.data.nanoUsd, last.data.boundNanoUsd, last.data.priceVersion], [null, 1_000, 'test@1']);
    assert.ok(!JSON.stringify(last).includes('secret'));
    assert.ok(await rig.row(promptId));
  });

  test('of a cautious prompt is followed by no other call before the call’s own deadline', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit({ retry: 'cautious' });
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => lost),
    );
    await allDone(line);
    const row = await rig.row(promptId);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(row && last);
    assert.equal(milliseconds(last.recordedAt, row.due_at), budget.callTimeoutSeconds * 1_000);
  });

  test('does not hide an answer that comes after the deadline', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { callTimeoutSeconds: 0.05 },
    );
    const call = await callOf(script, promptId);
    await until('the deadline', () => call.signal.aborted);
    assert.equal(call.signal.reason, 'deadline');
    call.end(completed('late, and paid for'));
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'PromptCompleted');
    assert.deepEqual([last.data.answer, last.data.nanoUsd], ['late, and paid for', NANO_USD]);
  });
});

describe('a model that the provider refuses', () => {
  test('is parked until then, and the prompt waits with its budget whole', async (c) => {
    const line = rig.createLine();
    const model = 'gemini-2.5-pro';
    const parked = async () =>
      (
        await rig.database.pool.query<{ reason: string; seconds: number }>(
          `SELECT reason, extract(epoch FROM until - clock_timestamp())::float8 AS seconds FROM parked_model
            WHERE model = $1`,
          [model],
        )
      ).rows;
    const outcomes = [
      retry({ afterSeconds: 1, park: { reason: 'daily_quota', seconds: 3_600 } }),
      retry({ park: { reason: 'bad_key', seconds: 60 } }),
    ];
    const promptId = await rig.submit({ model });
    const script = createScript(() => outcomes[script.calls.length - 1]);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { budget: () => ({ ...budget, maxAttempts: 1 }) },
    );
    for (const [attempt, reason, seconds] of [
      [1, 'daily_quota', 3_600],
      [2, 'bad_key', 60],
    ] as const) {
      await rig.database.pool.query('UPDATE outbox SET due_at = now() WHERE prompt_id = $1', [promptId]);
      await line.dispatch(promptId);
      await callOf(script, promptId, attempt);
      await allDone(line);
      const last = (await rig.events(promptId)).at(-1);
      const row = await rig.row(promptId);
      assert.ok(last?.type === 'AttemptFailed' && row);
      assert.deepEqual([last.data.end, last.data.retryInSeconds, last.data.nanoUsd], ['parked', seconds, 0]);
      assert.equal(milliseconds(last.recordedAt, row.due_at), seconds * 1_000);
      const [found, ...more] = await parked();
      assert.deepEqual([found?.reason, more.length], [reason, 0]);
      // A longer parking is not shortened by a later, shorter one.
      assert.ok(found && found.seconds > 3_500 && found.seconds <= 3_600, `${found?.seconds}`);
    }
    assert.ok(line.warnings.some(({ message }) => message.includes('it is parked')));
  });
});

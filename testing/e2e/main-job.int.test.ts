/** The main job through every service: asked over HTTP, answered by the emulator, read, counted and pushed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError } from '../../client/client.ts';
import { cleanup } from '../kit/cleanup.ts';
import { subscribe } from '../kit/feed.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
let stack: TestStack;
before(async () => {
  stack = await startTestStack(t, {
    env: { RETRY_BASE_SECONDS: '0.05', RETRY_CAP_SECONDS: '0.1', LEASE_SECONDS: '1' },
  });
});

const emulate = (settings: object) => `question [[emulate ${JSON.stringify(settings)}]]`;
const callsOf = (id: string) =>
  stack.emulator.billing.entries().filter((entry) => entry.attemptId?.startsWith(`${id}/`)).length;
const rejected = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof ApiError);
  assert.deepEqual([error.status, error.code], [status, code]);
  return true;
};

describe('a prompt', () => {
  test('is accepted, answered, priced, counted and found again', async () => {
    const ada = await stack.client('ada');
    const accepted = await ada.ask({
      prompt: emulate({ text: 'the answer', inputTokens: 374, outputTokens: 44, thoughtTokens: 6 }),
      model: 'gemini-2.5-flash',
      metadata: { team: 'red' },
    });
    assert.equal(accepted.status, 'queued');
    const prompt = await ada.prompt(accepted.id, { wait: 10 });
    assert.equal(prompt.status, 'completed');
    assert.equal(prompt.answer, 'the answer');
    assert.equal(prompt.emulated, true);
    assert.deepEqual(prompt.metadata, { team: 'red' });
    assert.deepEqual(prompt.usage, {
      inputTokens: 374,
      cachedInputTokens: 0,
      outputTokens: 44,
      thoughtTokens: 6,
      totalTokens: 424,
    });
    const nanoUsd = 374 * 300 + 50 * 2_500;
    assert.deepEqual([prompt.cost?.nanoUsd, prompt.cost?.usd], [nanoUsd, '0.0002372']);

    const page = await ada.prompts({ q: 'answer', model: 'gemini-2.5-flash' });
    assert.deepEqual(
      page.data.map(({ id }) => id),
      [accepted.id],
    );
    const users = await ada.stats<{
      userId: string;
      prompts: number;
      completed: number;
      inputTokens: number;
      thoughtTokens: number;
      cost: { confirmed: { nanoUsd: number } };
    }>('users');
    assert.equal(users.data.length, 1);
    assert.deepEqual(
      [users.data[0]?.userId, users.data[0]?.completed, users.data[0]?.inputTokens, users.data[0]?.thoughtTokens],
      ['ada', 1, 374, 6],
    );
    assert.equal(users.data[0]?.cost.confirmed.nanoUsd, nanoUsd);
    const models = await ada.stats<{ model: string; prompts: number; share: number; users: number }>('models');
    assert.deepEqual(
      models.data.map(({ model, prompts, share, users: n }) => [model, prompts, share, n]),
      [['gemini-2.5-flash', 1, 1, 1]],
    );
    const hours = await ada.stats<{ prompts: number }>('usage', { bucket: 'hour' });
    assert.deepEqual(
      hours.data.map(({ prompts }) => prompts),
      [1],
    );
    const latency = await ada.stats<{ measure: string; count: number; p50: number }>('latency');
    assert.deepEqual(
      latency.data.map(({ measure, count }) => [measure, count]),
      [
        ['queue_wait', 1],
        ['model_time', 1],
        ['total', 1],
      ],
    );
    assert.ok(latency.data.every(({ p50 }) => p50 > 0 && p50 < 10_000));
  });

  test('is never 404 for its owner, always for others', async () => {
    const ada = await stack.client('ada');
    const eve = await stack.client('eve');
    const admin = await stack.client('root', 'admin');
    const { id } = await ada.ask({ prompt: 'mine' });
    await ada.prompt(id);
    await assert.rejects(eve.prompt(id), rejected(404, 'not_found'));
    await assert.rejects(eve.cancel(id), rejected(404, 'not_found'));
    await assert.rejects(eve.retry(id), rejected(404, 'not_found'));
    await assert.rejects(eve.prompts({ userId: 'ada' }), rejected(400, 'invalid_request'));
    assert.equal((await admin.prompt(id)).userId, 'ada');
    assert.equal((await eve.prompts()).data.length, 0);
  });

  test('with text that Postgres cannot hold in its answer keeps it without loss', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: emulate({ fault: 'nul-text', text: 'x' }) });
    const prompt = await ada.prompt(id, { wait: 10 });
    assert.equal(prompt.answer, 'x \u0000 \ud800');
  });

  test('waits for its time', async () => {
    const ada = await stack.client('ada');
    const notBefore = new Date(Date.now() + 700).toISOString();
    const { id } = await ada.ask({ prompt: 'later', notBefore });
    assert.equal((await ada.prompt(id)).status, 'queued');
    const prompt = await ada.prompt(id, { wait: 10 });
    assert.equal(prompt.status, 'completed');
    assert.ok(prompt.startedAt !== null && prompt.startedAt >= notBefore, `${prompt.startedAt} ${notBefore}`);
  });

  test('expires when its time is over before an attempt began', async () => {
    const ada = await stack.client('ada');
    const soon = (ms: number) => new Date(Date.now() + ms).toISOString();
    const body = { prompt: 'too late', notBefore: soon(900), expiresAt: soon(901) };
    const { id } = await ada.ask(body, { idempotencyKey: 'late' });
    assert.equal((await ada.prompt(id, { wait: 10 })).status, 'expired');
    assert.equal(callsOf(id), 0);
    // Sent again it is the same ask, however late; the same under another key is a new one, and too late.
    assert.equal((await ada.ask(body, { idempotencyKey: 'late' })).id, id);
    await assert.rejects(ada.ask(body, { idempotencyKey: 'later' }), rejected(400, 'invalid_request'));
    await assert.rejects(ada.ask(body), rejected(400, 'invalid_request'));
  });
});

describe('an Idempotency-Key', () => {
  test('makes fifty equal requests one prompt, and refuses another body', async () => {
    const ada = await stack.client('ada');
    const body = { prompt: 'once' };
    const answers = await Promise.all(Array.from({ length: 50 }, () => ada.ask(body, { idempotencyKey: 'key-1' })));
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
    await assert.rejects(
      ada.ask({ prompt: 'twice' }, { idempotencyKey: 'key-1' }),
      rejected(422, 'idempotency_key_reused'),
    );
    const bob = await stack.client('bob');
    const other = await bob.ask(body, { idempotencyKey: 'key-1' });
    assert.notEqual(other.id, answers[0]?.id);
  });
});

describe('failures', () => {
  test('are tried again, each attempt once, and the answer still comes', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: emulate({ faults: ['503', 'cut-at-event', 'ok'] }) });
    const prompt = await ada.prompt(id, { wait: 10 });
    assert.deepEqual([prompt.status, prompt.attempts, callsOf(id)], ['completed', 3, 3]);
    const users = await ada.stats<{ cost: { unknownBound: { nanoUsd: number } } }>('users');
    assert.ok((users.data[0]?.cost.unknownBound.nanoUsd ?? 0) > 0, 'the cut attempt’s cost is unknown, with a bound');
  });

  test('end the prompt after MAX_ATTEMPTS; a redrive gives it new ones', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: emulate({ fault: '500', times: 4 }) });
    const failed = await ada.prompt(id, { wait: 10 });
    assert.deepEqual([failed.status, failed.error?.code, failed.attempts], ['failed', 'attempts_exhausted', 4]);
    await ada.retry(id);
    const again = await until('the redriven prompt is answered', async () => {
      const prompt = await ada.prompt(id, { wait: 1 });
      return prompt.status === 'completed' ? prompt : null;
    });
    assert.equal(again.attempts, 5);
    await assert.rejects(ada.retry(id), rejected(409, 'wrong_state'));
  });

  test('with retry never are not repeated', async () => {
    const ada = await stack.client('ada');
    for (const [fault, code] of [
      ['503', 'provider_503'],
      ['reset-body', 'outcome_unknown'],
    ] as const) {
      const { id } = await ada.ask({ prompt: emulate({ fault }), retry: 'never' });
      const prompt = await ada.prompt(id, { wait: 10 });
      assert.deepEqual([prompt.status, prompt.error?.code, callsOf(id)], ['failed', code, 1]);
    }
  });

  test('of the prompt’s own making are final', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: emulate({ fault: 'safety' }) });
    const prompt = await ada.prompt(id, { wait: 10 });
    assert.deepEqual([prompt.status, prompt.error?.code, callsOf(id)], ['failed', 'blocked', 1]);
    assert.ok(prompt.usage, 'what was billed is shown');
  });
});

describe('cancel', () => {
  test('of a waiting prompt keeps it from being called', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: 'no more', notBefore: new Date(Date.now() + 60_000).toISOString() });
    await ada.cancel(id);
    assert.equal((await ada.prompt(id, { wait: 5 })).status, 'cancelled');
    await assert.rejects(ada.cancel(id), rejected(409, 'wrong_state'));
    assert.equal(callsOf(id), 0);
  });

  test('of a running prompt stops the call, and its cost stays on record as unknown', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: emulate({ delayMs: 30_000 }) });
    await until('the provider is called', () => callsOf(id) === 1);
    await ada.cancel(id);
    await until(
      'the client of the provider left',
      () => stack.emulator.billing.entries().find((entry) => entry.attemptId === `${id}/1`)?.clientLeft,
      5_000,
    );
    await until('the attempt is accounted for', async () => {
      const { rows } = await stack.database.pool.query('SELECT type FROM event WHERE stream_id = $1 ORDER BY version', [
        id,
      ]);
      return rows.map(({ type }) => type).join() === 'PromptSubmitted,AttemptStarted,PromptCancelled,AttemptDiscarded';
    });
    const { rows } = await stack.database.pool.query('SELECT count(*)::int AS n FROM outbox WHERE prompt_id = $1', [
      id,
    ]);
    assert.equal(rows[0].n, 0, 'its row is gone');
  });
});

describe('the live feed', () => {
  test('tells every event of the user’s prompts, in order, with a prompt at least as new', async () => {
    const key = await stack.key('fay');
    const feed = await subscribe(stack.address, key);
    const fay = await stack.client('fay');
    const accepted = await fay.ask({ prompt: 'push me' });
    await (await stack.client('gus')).ask({ prompt: 'not for fay' });
    const done = await feed.event('the completed frame', (frame) => frame.event === 'PromptCompleted');
    assert.equal(done.prompt.id, accepted.id);
    assert.equal(done.prompt.status, 'completed');
    assert.deepEqual(
      feed.events().map((frame) => frame.event),
      ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted'],
    );
    assert.ok(feed.events().every((frame) => frame.prompt.position >= frame.position && frame.prompt.userId === 'fay'));
    feed.close();
  });

  test('resumed after any position has no gap and repeats nothing', async () => {
    const key = await stack.key('hal');
    const hal = await stack.client('hal');
    for (let i = 0; i < 5; i += 1) await hal.prompt((await hal.ask({ prompt: `number ${i}` })).id, { wait: 10 });
    const all = await subscribe(stack.address, key, { after: 0 });
    await until('all fifteen events', () => all.events().length === 15);
    const positions = all.events().map((frame) => frame.position);
    assert.deepEqual(
      positions,
      [...positions].sort((a, b) => a - b),
    );
    for (const cut of [0, 4, 14]) {
      const rest = await subscribe(stack.address, key, { after: positions[cut]! });
      await until('the rest', () => rest.events().length === 14 - cut);
      assert.deepEqual(
        rest.events().map((frame) => frame.position),
        positions.slice(cut + 1),
      );
      rest.close();
    }
    all.close();
  });

  test('refuses a foreign prompt, a frame it does not know, and a connection without a key', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: 'private' });
    const foreign = await subscribe(stack.address, await stack.key('eve'), { promptId: id });
    await until('the connection is closed', () => foreign.closed()?.code === 4404);
    const odd = await subscribe(stack.address, await stack.key('eve'));
    odd.socket.send('{"type":"drop table"}');
    await until('the connection is closed', () => odd.closed()?.code === 1008);
    const noise = await subscribe(stack.address, await stack.key('eve'));
    noise.socket.send('{"type":');
    await until('the connection is closed', () => noise.closed()?.code === 1007);
    await assert.rejects(subscribe(stack.address, 'po_nothing'), /401/);
  });

  test('over SSE is the same, and resumes after Last-Event-ID', async () => {
    const key = await stack.key('ida');
    const ida = await stack.client('ida');
    await ida.prompt((await ida.ask({ prompt: 'one' })).id, { wait: 10 });
    const first = await readStream(key, 0, 3);
    assert.deepEqual(
      first.map(({ event }) => event),
      ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted'],
    );
    const second = await readStream(key, first[0]!.position, 2);
    assert.deepEqual(
      second.map(({ position }) => position),
      first.slice(1).map(({ position }) => position),
    );
  });

  async function readStream(key: string, lastEventId: number, count: number) {
    const controller = new AbortController();
    const response = await fetch(`${stack.address}/live/events`, {
      headers: { authorization: `Bearer ${key}`, 'last-event-id': String(lastEventId) },
      signal: controller.signal,
    });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const found: { event: string; position: number }[] = [];
    let text = '';
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const frame = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '{}');
        if (frame.type === 'event') found.push(frame);
      }
      if (found.length >= count) break;
    }
    controller.abort();
    return found;
  }
});

describe('Redis', () => {
  test('can be wiped at any moment: nothing is lost, nothing is called twice', async () => {
    const ada = await stack.client('ada');
    const ids: string[] = [];
    for (let i = 0; i < 40; i += 1) {
      ids.push((await ada.ask({ prompt: `wipe ${i} [[emulate {"delayMs":${(i * 37) % 200}}]]` })).id);
      if (i % 8 === 7) await stack.redis.client.flushdb();
    }
    for (const id of ids) {
      const prompt = await ada.prompt(id, { wait: 20 });
      assert.equal(prompt.status, 'completed', id);
      assert.equal(callsOf(id), 1);
    }
  });
});

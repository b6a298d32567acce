/** Reading prompts: held, paged, cached, and never behind what the reader was told. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Prompt } from '../contracts/http/queries.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { type Client, type Outcome, type Provider, startTestStack, type TestStack } from '../testing/kit/stack.ts';
import { type Latch, latch, until } from '../testing/kit/until.ts';

const t = cleanup(after);
const MODEL = 'gemini-2.5-flash';
const usage = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 5, thoughtTokens: 0, totalTokens: 15 };
/** Prompts that contain "held" wait for this. */
let held: Latch = latch();
const provider: Provider = {
  name: 'scripted',
  generate: async ({ prompt }, { signal }): Promise<Outcome> => {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    if (prompt.includes('held')) await Promise.race([held.promise, aborted]);
    const billing = { known: true, usage, rawUsage: {} } as const;
    if (prompt.includes('blocked')) {
      return { type: 'failed', code: 'blocked', message: 'no', finishReason: null, billing, emulated: true };
    }
    return {
      type: 'completed',
      answer: `the answer to ${prompt}`,
      finishReason: 'STOP',
      truncated: false,
      billing,
      modelVersion: 'v',
      emulated: true,
    };
  },
};

let stack: TestStack;
let ada: Client;
before(async () => {
  stack = await startTestStack(t, { provider });
  ada = await stack.client('ada');
});

const key = () => stack.key('ada');
async function get(path: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(new URL(path, stack.address), {
    headers: { authorization: `Bearer ${await key()}`, ...headers },
    ...(signal && { signal }),
  });
}
const ask = (prompt: string, client = ada) => client.ask({ prompt, model: MODEL });
const done = async (prompt: string, client = ada): Promise<Prompt> =>
  client.prompt((await ask(prompt, client)).id, { wait: 10 });

describe('one prompt', () => {
  test('has every field of the contract, null where there is nothing', async () => {
    held = latch();
    const { id, submittedAt } = await ask('held for its shape');
    const running = await until('it runs', async () => {
      const prompt = await ada.prompt(id);
      return prompt.status === 'running' ? prompt : null;
    });
    const { startedAt, position, ...rest } = running;
    assert.ok(startedAt && startedAt >= submittedAt && position > 0);
    assert.deepEqual(rest, {
      id,
      userId: 'ada',
      status: 'running',
      model: MODEL,
      prompt: 'held for its shape',
      answer: null,
      finishReason: null,
      truncated: false,
      emulated: false,
      error: null,
      attempts: 1,
      usage: null,
      cost: null,
      spend: {
        confirmed: { nanoUsd: 0, usd: '0' },
        wasted: { nanoUsd: 0, usd: '0' },
        unknownBound: { nanoUsd: 0, usd: '0' },
        unknownAttempts: 0,
        notional: false,
      },
      submittedAt,
      finishedAt: null,
      conversationId: null,
      metadata: {},
      lane: 'normal',
      retry: 'auto',
      notBefore: null,
      expiresAt: null,
    });
    held.release();
    const completed = await ada.prompt(id, { wait: 10 });
    assert.deepEqual([completed.status, completed.answer], ['completed', 'the answer to held for its shape']);
    assert.deepEqual(completed.usage, usage);
    assert.ok(completed.cost && completed.cost.nanoUsd > 0 && completed.cost.priceVersion);
  });

  test('is held by `wait` until it has ended, by all who wait', async () => {
    held = latch();
    const { id } = await ask('held for all');
    const waiting = Array.from({ length: 20 }, () => ada.prompt(id, { wait: 30 }));
    await until('it runs', async () => (await ada.prompt(id)).status === 'running');
    held.release();
    for (const prompt of await Promise.all(waiting)) assert.equal(prompt.status, 'completed');
  });

  test('is told as it is when `wait` is over', async () => {
    held = latch();
    const { id } = await ask('held too long');
    const prompt = await ada.prompt(id, { wait: 0.2 });
    assert.ok(['queued', 'running'].includes(prompt.status));
    held.release();
  });

  test('whose reader leaves is held for nobody', async () => {
    held = latch();
    const { id } = await ask('held for one who leaves');
    const gone = new AbortController();
    const waiting = get(`/prompts/${id}?wait=30`, {}, gone.signal);
    await until('it runs', async () => (await ada.prompt(id)).status === 'running');
    gone.abort();
    await assert.rejects(waiting);
    held.release();
    assert.equal((await ada.prompt(id, { wait: 10 })).status, 'completed');
  });

  test('with its ETag is 304 until it changes', async () => {
    held = latch();
    const { id } = await ask('held for its tag');
    await until('it runs', async () => (await ada.prompt(id)).status === 'running');
    const first = await get(`/prompts/${id}`);
    const tag = first.headers.get('etag')!;
    const same = await get(`/prompts/${id}`, { 'if-none-match': tag });
    assert.deepEqual([same.status, await same.text()], [304, '']);
    assert.equal((await get(`/prompts/${id}`, { 'if-none-match': `"other", ${tag}` })).status, 304);
    held.release();
    await ada.prompt(id, { wait: 10 });
    const changed = await get(`/prompts/${id}`, { 'if-none-match': tag });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.get('etag'), tag);
  });

  test('accepted while the read model stands still is there, and is never told to be further than what comes next', async () => {
    const lock = await stack.database.pool.connect();
    try {
      await lock.query('BEGIN');
      await lock.query('SELECT FROM cursor FOR UPDATE'); // the projector cannot move it
      const { id } = await ask('while nothing is folded');
      await until('the prompt has ended', async () => {
        const { rows } = await stack.database.pool.query('SELECT type FROM event WHERE stream_id = $1', [id]);
        return rows.some((row: { type: string }) => row.type === 'PromptCompleted');
      });
      assert.equal((await ada.prompt(id)).status, 'queued');
      await lock.query('ROLLBACK');
      assert.equal((await ada.prompt(id, { wait: 10 })).status, 'completed');
    } finally {
      lock.release();
    }
  });

  test('tells its story from the log', async () => {
    const { id } = await done('a story');
    const { data } = (await (await get(`/prompts/${id}/events`)).json()) as {
      data: { type: string; version: number }[];
    };
    assert.deepEqual(
      data.map(({ type, version }) => [type, version]),
      [
        ['PromptSubmitted', 1],
        ['AttemptStarted', 2],
        ['PromptCompleted', 3],
      ],
    );
  });
});

describe('a read with minPosition', () => {
  test('sees what was accepted at it, in every list and figure', async () => {
    for (let i = 0; i < 10; i += 1) {
      const { id, position } = await ask(`read your writes ${i}`);
      const { data } = await ada.prompts({ minPosition: position, limit: 3 });
      assert.ok(data.some((prompt) => prompt.id === id));
    }
  });

  test('beyond the log is 503 read_model_behind after about two seconds', async () => {
    const startedAt = performance.now();
    const response = await get('/prompts?minPosition=999999999');
    const waited = performance.now() - startedAt;
    assert.equal(response.status, 503);
    assert.ok(Number(response.headers.get('retry-after')) >= 1);
    assert.equal(((await response.json()) as { code: string }).code, 'read_model_behind');
    assert.ok(waited > 1_500 && waited < 4_000, `${waited} ms`);
  });
});

describe('the list', () => {
  test('by pages is whole, without repeats, newest first, while new ones arrive', async () => {
    const eve = await stack.client('eve');
    const ids: string[] = [];
    for (let i = 0; i < 40; i += 1) ids.push((await ask(`page ${i}`, eve)).id);
    await eve.prompt(ids.at(-1)!, { wait: 10 });
    const seen: Prompt[] = [];
    let cursor: string | undefined;
    do {
      const page = await eve.prompts({ limit: 7, cursor });
      seen.push(...page.data);
      assert.equal(page.hasMore, page.nextCursor !== null);
      cursor = page.nextCursor ?? undefined;
      await ask('newer than the first page', eve);
    } while (cursor);
    assert.deepEqual(
      seen.map(({ id }) => id),
      seen
        .toSorted((a, b) => b.submittedAt.localeCompare(a.submittedAt) || b.id.localeCompare(a.id))
        .map(({ id }) => id),
    );
    assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length);
    assert.deepEqual(new Set(seen.map(({ id }) => id)), new Set(ids));
  });

  test('is narrowed by status, model, conversation, time and words, and by all at once', async () => {
    const zoe = await stack.client('zoe');
    const conversationId = '019aaf00-0000-7000-8000-00000000c0de';
    const wanted = await zoe.ask({ prompt: 'whales and krill', model: 'gemini-2.5-pro', conversationId });
    await zoe.ask({ prompt: 'whales blocked', model: MODEL });
    const last = await zoe.ask({ prompt: 'only krill', model: 'gemini-2.5-pro' });
    for (const { id } of (await zoe.prompts({ minPosition: last.position })).data) await zoe.prompt(id, { wait: 10 });
    const prompts = async (query: object) =>
      (await zoe.prompts(query as never)).data.map(({ prompt }) => prompt).sort();
    assert.deepEqual(await prompts({ q: 'whales' }), ['whales and krill', 'whales blocked']);
    assert.deepEqual(await prompts({ q: 'krill whales' }), ['whales and krill']);
    assert.deepEqual(await prompts({ q: 'answer', status: 'completed' }), ['only krill', 'whales and krill']);
    assert.deepEqual(await prompts({ status: 'failed' }), ['whales blocked']);
    assert.deepEqual(await prompts({ model: 'gemini-2.5-pro' }), ['only krill', 'whales and krill']);
    assert.deepEqual(await prompts({ conversationId }), ['whales and krill']);
    assert.deepEqual(await prompts({ to: wanted.submittedAt }), []);
    assert.equal((await prompts({ from: wanted.submittedAt })).length, 3);
    assert.deepEqual(
      await prompts({
        q: 'krill',
        model: 'gemini-2.5-pro',
        conversationId,
        status: 'completed',
        from: wanted.submittedAt,
      }),
      ['whales and krill'],
    );
    for (const hostile of ["'; DROP TABLE event; --", '" | & ! ( ) : *', '\\', '%', '(((((', 'a'.repeat(200)]) {
      assert.deepEqual(await prompts({ q: hostile }), [], hostile);
    }
  });

  test('refuses what makes no sense', async () => {
    for (const query of [
      'limit=0',
      'limit=201',
      'limit=ten',
      'limit=1.5',
      'cursor=abc',
      'cursor=',
      'status=done',
      'from=today',
      'q=',
      'userId=bob',
      'sort=asc',
      'limit=1&limit=2',
    ]) {
      assert.equal((await get(`/prompts?${query}`)).status, 400, query);
    }
    for (const query of ['wait=61', 'wait=-1', 'wait=soon', 'verbose=1']) {
      assert.equal((await get(`/prompts/019aaf00-0000-7000-8000-000000000000?${query}`)).status, 400, query);
    }
  });
});

describe('the cache', () => {
  const keys = () => stack.redis.client.keys('cache:prompt:*');
  /** The key under which a read has put it; a read that met the read model behind puts nothing. */
  const kept = (id: string) =>
    until('it is kept', async () => {
      await ada.prompt(id);
      return (await keys()).find((name) => name.endsWith(id));
    });

  test('keeps finished prompts, and what it keeps is served', async () => {
    const { id } = await done('to be cached');
    const cached = await kept(id);
    const entry = JSON.parse((await stack.redis.client.get(cached))!) as { prompt: Prompt };
    entry.prompt.answer = 'from the cache';
    await stack.redis.client.set(cached, JSON.stringify(entry));
    assert.equal((await ada.prompt(id)).answer, 'from the cache');
  });

  test('is not believed when it says what no read has put there', async () => {
    const { id, answer } = await done('to be spoilt');
    const cached = await kept(id);
    for (const text of ['1', '"PONG"', '{}', '[]', 'null', '{"asOf":1,"prompt":null}', '{"prompt":{}}', '{']) {
      await stack.redis.client.set(cached, text);
      assert.equal((await ada.prompt(id)).answer, answer, text);
    }
  });

  test('is not believed about a position it does not know', async () => {
    const { id } = await done('to be cached too');
    const cached = await kept(id);
    const entry = JSON.parse((await stack.redis.client.get(cached))!) as { prompt: Prompt; asOf: number };
    entry.prompt.answer = 'old';
    await stack.redis.client.set(cached, JSON.stringify(entry));
    const { position } = await ask('something later');
    assert.notEqual((await ada.prompt(id, { minPosition: position })).answer, 'old');
  });

  test('is not believed after another start of the server, which may hold an older log', async () => {
    const { id, answer } = await done('to be forgotten');
    const cached = await kept(id);
    const entry = JSON.parse((await stack.redis.client.get(cached))!) as { prompt: Prompt };
    entry.prompt.answer = 'of another log';
    const { rows } = await stack.database.pool.query<{ now: string; before: string }>(
      `SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text AS now,
              (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint - 1 || '' AS before`,
    );
    assert.ok(cached.includes(`:${rows[0]!.now}:`), cached);
    await stack.redis.client.del(cached);
    await stack.redis.client.set(cached.replace(rows[0]!.now, rows[0]!.before), JSON.stringify(entry));
    assert.equal((await ada.prompt(id)).answer, answer);
  });

  test('does not keep a failed prompt, which may be sent again', async () => {
    const failed = await done('blocked once');
    assert.equal(failed.status, 'failed');
    await ada.prompt(failed.id);
    await done('something after it'); // the cache has had its time
    assert.ok(!(await keys()).some((name) => name.endsWith(failed.id)));
  });

  test('emptied, or holding what is not ours, changes nothing', async () => {
    const { id, answer } = await done('whatever becomes of Redis');
    const cached = await kept(id);
    await stack.redis.client.flushdb();
    assert.equal((await ada.prompt(id)).answer, answer);
    await stack.redis.client.set(cached, 'not JSON');
    assert.equal((await ada.prompt(id)).answer, answer);
  });
});

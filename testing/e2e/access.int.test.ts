/** Who may do what: every route behind a credential, and nobody sees anything of another user. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { cleanup } from '../kit/cleanup.ts';
import { subscribe } from '../kit/feed.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
let stack: TestStack;
const keys: Record<string, string> = {};
const ids: Record<string, string> = {};

before(async () => {
  stack = await startTestStack(t);
  for (const user of ['ada', 'bob']) {
    keys[user] = await stack.key(user);
    const response = await call(user, 'POST', '/ask', { prompt: `the secret of ${user}`, model: 'gemini-2.5-flash' });
    ids[user] = ((await response.json()) as { id: string }).id;
    await call(user, 'GET', `/prompts/${ids[user]}?wait=10`);
  }
  keys['root'] = await stack.key('root', 'admin');
});

function call(user: string | null, method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  return fetch(new URL(path, stack.address), {
    method,
    headers: {
      ...(user && { authorization: `Bearer ${keys[user]}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
  });
}

type Route = { method: string; path: string };

/** Every operation that the OpenAPI document names, with ada's prompt for `{id}`. */
async function routes(): Promise<Route[]> {
  const response = await call(null, 'GET', '/openapi.json');
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, object>> };
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => ({
      method: method.toUpperCase(),
      path: path.replace('{id}', ids['ada']!),
    })),
  );
}

const PUBLIC = new Set(['/health', '/openapi.json', '/docs', '/']);

describe('without a valid credential', () => {
  test('every route but the public ones is 401, whatever it is asked', async () => {
    const guarded = (await routes()).filter(({ path }) => !PUBLIC.has(path));
    assert.ok(guarded.length >= 12, `${guarded.length}`);
    const expired = await createKey(stack.database.pool, {
      userId: 'ada',
      role: 'user',
      name: 'old',
      expiresAt: '2026-01-01T00:00:00Z',
    });
    const credentials: (string | undefined)[] = [
      undefined,
      'Bearer',
      'Bearer x',
      `Basic ${Buffer.from(`ada:${keys['ada']}`).toString('base64')}`,
      'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.',
      `Bearer ${keys['ada']}x`,
      `Bearer ${expired.key}`,
    ];
    for (const { method, path } of guarded) {
      for (const authorization of credentials) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const response = await call(null, method, path, undefined, headers);
        assert.equal(response.status, 401, `${method} ${path} with ${authorization}`);
        assert.equal(response.headers.get('www-authenticate'), 'Bearer');
        assert.equal(((await response.json()) as { code: string }).code, 'unauthenticated');
      }
    }
  });

  test('the public routes answer', async () => {
    for (const path of PUBLIC) assert.equal((await call(null, 'GET', path)).status, 200, path);
  });

  test('a key in the address is no credential', async () => {
    assert.equal((await call(null, 'GET', `/prompts?key=${keys['ada']}&access_token=${keys['ada']}`)).status, 401);
  });
});

describe('another user’s prompt', () => {
  test('is 404 on every route that names one, as if it did not exist', async () => {
    const named = (await routes()).filter(({ path }) => path.includes(ids['ada']!));
    assert.ok(named.length >= 4);
    for (const { method, path } of named) {
      const foreign = await call('bob', method, path);
      const missing = await call('bob', method, path.replace(ids['ada']!, '019aaf00-0000-7000-8000-000000000000'));
      const [one, other] = (await Promise.all([foreign.json(), missing.json()])) as Record<string, unknown>[];
      // For admins alone: refused before it is looked for.
      assert.equal(foreign.status, path.endsWith('/cost') ? 403 : 404, `${method} ${path}`);
      assert.deepEqual({ ...one, requestId: '' }, { ...other, requestId: '' });
    }
    assert.equal((await call('bob', 'GET', `/live/events?promptId=${ids['ada']}`)).status, 404);
  });

  test('is in no list, search or figure of theirs', async () => {
    const paths = [
      '/prompts',
      '/prompts?q=secret',
      '/stats/users',
      '/stats/models',
      '/stats/usage?bucket=hour&groupBy=user',
      '/stats/latency',
    ];
    for (const path of paths) {
      const response = await call('bob', 'GET', path);
      assert.equal(response.status, 200, path);
      const text = await response.text();
      assert.doesNotMatch(text, /of ada|"ada"/, path);
      if (path.startsWith('/prompts')) assert.match(text, /bob/);
    }
    const models = (await (await call('bob', 'GET', '/stats/models')).json()) as { data: { prompts: number }[] };
    assert.deepEqual(
      models.data.map(({ prompts }) => prompts),
      [1],
    );
  });

  test('cannot be asked for by naming the user', async () => {
    for (const path of ['/prompts?userId=ada', '/stats/users?userId=ada', '/stats/models?userId=ada']) {
      const response = await call('bob', 'GET', path);
      const text = await response.text();
      assert.ok(response.status === 400 || !/"ada"|of ada/.test(text), `${path}: ${text}`);
    }
    assert.equal((await call('bob', 'GET', '/prompts?userId=ada')).status, 400);
  });

  test('is for an admin to read and to cancel', async () => {
    assert.equal((await call('root', 'GET', `/prompts/${ids['ada']}`)).status, 200);
    assert.equal((await call('root', 'GET', '/prompts?userId=ada')).status, 200);
    assert.equal((await call('root', 'POST', `/prompts/${ids['ada']}/cancel`)).status, 409);
    const users = (await (await call('root', 'GET', '/stats/users')).json()) as { data: { userId: string }[] };
    assert.deepEqual(users.data.map(({ userId }) => userId).sort(), ['ada', 'bob']);
  });

  test('is not found by an Idempotency-Key of the same name', async () => {
    const body = { prompt: 'mine', model: 'gemini-2.5-flash' };
    const answers = [];
    for (const user of ['ada', 'bob']) {
      const response = await call(user, 'POST', '/ask', body, { 'idempotency-key': 'same' });
      assert.equal(response.headers.get('idempotency-replayed'), null);
      answers.push((await response.json()) as { id: string });
    }
    assert.notEqual(answers[0]!.id, answers[1]!.id);
  });
});

describe('the live feed', () => {
  test('tells a user of their own prompts only, an admin of all', async () => {
    const feeds = {
      ada: await subscribe(stack.address, keys['ada']!),
      bob: await subscribe(stack.address, keys['bob']!),
      root: await subscribe(stack.address, keys['root']!),
    };
    const asked = (await (
      await call('ada', 'POST', '/ask', { prompt: 'for ada’s eyes', model: 'gemini-2.5-flash' })
    ).json()) as { id: string };
    const last = (await (
      await call('bob', 'POST', '/ask', { prompt: 'bob comes later', model: 'gemini-2.5-flash' })
    ).json()) as { id: string };
    const done = (feed: typeof feeds.ada, id: string) =>
      until(`the completion of ${id}`, () =>
        feed.events().some((frame) => frame.promptId === id && frame.event === 'PromptCompleted'),
      );
    await Promise.all([
      done(feeds.ada, asked.id),
      done(feeds.bob, last.id),
      done(feeds.root, asked.id),
      done(feeds.root, last.id),
    ]);
    assert.ok(feeds.bob.events().every((frame) => frame.prompt.userId === 'bob'));
    assert.ok(feeds.ada.events().every((frame) => frame.prompt.userId === 'ada'));
    for (const feed of Object.values(feeds)) feed.close();
  });

  test('ends when its key is revoked', async () => {
    const made = await createKey(stack.database.pool, { userId: 'eve', role: 'user', name: 'short', expiresAt: null });
    const feed = await subscribe(stack.address, made.key);
    const closed = new Promise<number>((resolve) => feed.socket.once('close', resolve));
    await stack.database.pool.query('UPDATE api_key SET revoked_at = now() WHERE key_id = $1', [made.keyId]);
    assert.equal(await closed, 4401);
    await until(
      'the key is refused',
      async () => {
        const response = await call(null, 'GET', '/prompts', undefined, { authorization: `Bearer ${made.key}` });
        return response.status === 401;
      },
      20_000,
    );
  });
});

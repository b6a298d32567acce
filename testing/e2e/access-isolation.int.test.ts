/** Bad credentials at every door, and isolation by every way around: tags, waiting, cursors, figures, caches. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { createKey, revokeKey } from '../../platform/postgres/api-keys.ts';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { type Answer, createProbe, isProblem, type Probe } from './http-edges-probe.ts';

const t = cleanup(after);
const CONVERSATION = '019aaf00-0000-7000-8000-0000000000aa';
let stack: TestStack;
const keys = { ada: '', bob: '', root: '' };
const as = {} as Record<keyof typeof keys, Probe>;
/** Ada's: one that has ended, one whose call hangs. Bob's: one that has ended. */
const ids = { ended: '', running: '', bobs: '' };

before(async () => {
  stack = await startTestStack(t);
  for (const user of ['ada', 'bob', 'root'] as const) {
    keys[user] = await stack.key(user, user === 'root' ? 'admin' : 'user');
    as[user] = createProbe(stack, keys[user]);
  }
  ids.ended = (await as.ada.fields({ prompt: 'canary of ada', conversationId: CONVERSATION })).body.id!;
  ids.bobs = (await as.bob.fields({ prompt: 'canary of bob', conversationId: CONVERSATION })).body.id!;
  ids.running = (await as.ada.fields({ prompt: 'canary of ada [[emulate {"delayMs":60000}]]' })).body.id!;
  await as.ada.send('GET', `/prompts/${ids.ended}?wait=10`);
  await as.bob.send('GET', `/prompts/${ids.bobs}?wait=10`);
  await until('the call of ada’s second prompt has begun', async () => {
    return (await as.ada.send('GET', `/prompts/${ids.running}`)).text.includes('"running"');
  });
});

const CONTRACT = [
  'POST /ask',
  'POST /prompts/{id}/cancel',
  'POST /prompts/{id}/retry',
  'POST /prompts/retry',
  'GET /prompts',
  'GET /prompts/{id}',
  'GET /prompts/{id}/events',
  'GET /stats/users',
  'GET /stats/models',
  'GET /stats/usage',
  'GET /stats/latency',
  'GET /ledger',
  'PUT /prompts/{id}/attempts/{attempt}/cost',
  'GET /parked',
  'GET /models',
  'GET /live/events',
  'POST /live/tickets',
];
const addressOf = (path: string) => path.replace('{id}', ids.ended).replace('{attempt}', '1');
const dataOf = <T>(answer: Answer) => (JSON.parse(answer.text) as { data: T[] }).data;
const socketTo = (path: string, protocols: string[], headers: Record<string, string> = {}) =>
  new WebSocket(`${stack.address.replace('http', 'ws')}${path}`, protocols, { headers });
/** How the opening of a socket ends: open, or refused with an answer. */
const opening = (socket: WebSocket): Promise<'open' | IncomingMessage> =>
  new Promise((resolve, reject) => {
    socket.once('open', () => resolve('open'));
    socket.once('unexpected-response', (_request, response) => resolve(response));
    socket.once('error', reject);
  });
const ticketFor = async (key: string): Promise<string> => {
  const { text } = await as.ada.send('POST', '/live/tickets', { key });
  return (JSON.parse(text) as { ticket: string }).ticket;
};

describe('a credential that is none', () => {
  const NOW = new Date(Date.now() - 1_000).toISOString();
  async function badKeys(): Promise<Record<string, string | null>> {
    const made = (expiresAt: string | null) =>
      createKey(stack.database.pool, { userId: 'ada', role: 'admin', name: 'bad', expiresAt });
    const [revoked, expired] = [await made(null), await made(NOW)];
    assert.equal(await revokeKey(stack.database.pool, revoked.keyId), true);
    const jwt = ['{"alg":"HS256","typ":"JWT"}', '{"sub":"ada","role":"admin","exp":9999999999}', 'signature'];
    return {
      nothing: null,
      garbage: 'garbage',
      'a made-up key': `po_${'x'.repeat(43)}`,
      'a key cut short': keys.ada.slice(0, -1),
      'a key with its case changed': keys.ada.toUpperCase(),
      'a revoked key': revoked.key,
      'an expired key': expired.key,
      'a JWT': jwt.map((part) => Buffer.from(part).toString('base64url')).join('.'),
      'a ticket': await ticketFor(keys.ada),
      'a user’s name': 'ada',
      'a key of 8 KB': `po_${'x'.repeat(8_000)}`,
      'two keys': `${keys.ada}, Bearer ${keys.ada}`,
    };
  }

  test('is 401 with WWW-Authenticate at every route of the contract, before its input is looked at', async () => {
    for (const [name, key] of Object.entries(await badKeys())) {
      for (const route of CONTRACT) {
        const [method = '', path = ''] = route.split(' ');
        const odd = method === 'POST' ? { body: '{', headers: { 'content-type': 'application/json' } } : {};
        for (const [at, sent] of [
          [addressOf(path), {}],
          [`${addressOf(path)}?nope=1`, odd],
        ] as const) {
          const answer = await as.ada.send(method, at, { ...sent, key });
          assert.deepEqual([answer.status, answer.body.code], [401, 'unauthenticated'], `${name}: ${method} ${at}`);
          assert.equal(answer.header('www-authenticate'), 'Bearer');
          assert.equal(answer.body.retryable, false);
        }
        if (method !== 'GET') continue;
        assert.equal((await as.ada.send('HEAD', addressOf(path), { key })).status, 401, `${name}: HEAD ${path}`);
      }
    }
  });

  test('opens no WebSocket: 401 before the upgrade', async () => {
    for (const [name, key] of Object.entries(await badKeys())) {
      const response = await opening(
        socketTo('/live', ['live.v1'], key === null ? {} : { authorization: `Bearer ${key}` }),
      );
      assert.ok(response !== 'open', name);
      assert.deepEqual([response.statusCode, response.headers['www-authenticate']], [401, 'Bearer'], name);
      response.resume();
    }
    const one = await ticketFor(keys.ada);
    const cookie = { cookie: `ticket=${one}; key=${keys.ada}` };
    for (const socket of [
      socketTo(`/live?ticket=${one}&key=${keys.ada}`, ['live.v1']),
      socketTo('/live', ['live.v1', one]),
      socketTo('/live', ['live.v1', 'ticket.']),
      socketTo('/live', ['live.v1', `ticket.${one}x`]),
      socketTo('/live', ['live.v1', `ticket.${keys.ada}`]),
      socketTo('/live', ['live.v1'], cookie),
    ]) {
      const response = await opening(socket);
      assert.ok(response !== 'open' && response.statusCode === 401);
      response.resume();
    }
  });

  test('is refused by the same answer, whoever it may have been', async () => {
    const answers = await Promise.all(
      Object.values(await badKeys()).map(async (key) => (await as.ada.send('GET', '/prompts', { key })).body),
    );
    for (const body of answers) assert.deepEqual({ ...body, requestId: '' }, { ...answers[0], requestId: '' });
  });

  test('is never asked for where the contract says so, and a bad one does no harm there', async () => {
    for (const path of ['/health', '/openapi.json', '/docs', '/']) {
      for (const key of [null, 'garbage']) assert.equal((await as.ada.send('GET', path, { key })).status, 200, path);
    }
  });

  test('is asked for by every route of the contract: the OpenAPI document has them all', async () => {
    const { text } = await as.ada.send('GET', '/openapi.json', { key: null });
    const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, { security?: object[] }>> };
    for (const route of CONTRACT) {
      const [method = '', path = ''] = route.split(' ');
      const operation = paths[path]?.[method.toLowerCase()];
      assert.ok(operation, route);
      assert.notDeepEqual(operation.security, [], route);
    }
  });
});

describe('another user’s prompt', () => {
  const missing = '019aaf00-0000-7000-8000-000000000000';
  const notFound = (answer: Answer, what: string) => {
    assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], `${what} ${answer.text}`);
    isProblem(answer, what);
    assert.equal(answer.header('etag'), null, what);
  };

  test('is 404 whatever is said with it: a tag, a position, a wait, capitals, junk of theirs', async () => {
    const tag = (await as.ada.send('GET', `/prompts/${ids.ended}`)).header('etag') ?? '';
    assert.ok(tag);
    for (const id of [ids.ended, ids.running, ids.ended.toUpperCase()]) {
      for (const none of ['*', tag]) {
        notFound(await as.bob.send('GET', `/prompts/${id}`, { headers: { 'if-none-match': none } }), `${id} ${none}`);
      }
      for (const rest of ['', '?minPosition=1', '/events', '/events?minPosition=1']) {
        notFound(await as.bob.send('GET', `/prompts/${id}${rest}`), `${id}${rest}`);
      }
      notFound(await as.bob.send('GET', `/live/events?promptId=${id}&after=0`), 'SSE');
    }
  });

  test('is not waited for: a running one is 404 as soon as a missing one', async () => {
    const began = performance.now();
    for (const id of [ids.running, missing]) notFound(await as.bob.send('GET', `/prompts/${id}?wait=60`), id);
    assert.ok(performance.now() - began < 10_000);
  });

  test('is neither cancelled nor sent again, and its log knows nothing of the try', async () => {
    const events = async () => {
      const { rows } = await stack.database.pool.query('SELECT type FROM event WHERE stream_id = ANY($1)', [
        [ids.ended, ids.running],
      ]);
      return rows.length;
    };
    const before = await events();
    for (const id of [ids.ended, ids.running]) {
      for (const verb of ['cancel', 'retry']) notFound(await as.bob.send('POST', `/prompts/${id}/${verb}`), verb);
    }
    assert.equal(await events(), before);
    assert.match((await as.ada.send('GET', `/prompts/${ids.running}`)).text, /"running"/);
  });

  test('is on no page: not by its conversation, its words, or a cursor of its owner or an admin', async () => {
    const cursors = await Promise.all(
      [as.ada, as.root].map(async (who) => {
        const { text } = await who.send('GET', '/prompts?limit=1');
        return (JSON.parse(text) as { nextCursor: string }).nextCursor;
      }),
    );
    const paths = ['', `?conversationId=${CONVERSATION}`, '?q=canary', '?status=running', '?limit=200'];
    for (const path of [...paths, ...cursors.map((cursor) => `?cursor=${cursor}`)]) {
      const answer = await as.bob.send('GET', `/prompts${path}`);
      assert.equal(answer.status, 200, path);
      assert.ok(
        dataOf<{ userId: string }>(answer).every(({ userId }) => userId === 'bob'),
        `${path} ${answer.text}`,
      );
    }
    assert.deepEqual(
      dataOf<{ id: string }>(await as.bob.send('GET', '/prompts')).map(({ id }) => id),
      [ids.bobs],
    );
  });

  test('is in no figure, asked for by name or not, also after an admin had them from the cache', async () => {
    const figures = ['users', 'models', 'usage?groupBy=user', 'usage?groupBy=model', 'usage?groupBy=status', 'latency'];
    for (const figure of figures) {
      const path = `/stats/${figure}`;
      const and = figure.includes('?') ? '&' : '?';
      for (let round = 0; round < 2; round += 1) {
        const all = dataOf<object>(await as.root.send('GET', path));
        const own = await as.bob.send('GET', path);
        assert.doesNotMatch(own.text, /"ada"/, path);
        const sum = (rows: object[]) => rows.reduce((n, row) => n + ((row as { prompts?: number }).prompts ?? 0), 0);
        if (figure !== 'latency') assert.deepEqual([sum(all), sum(dataOf<object>(own))], [3, 1], `${path} ${own.text}`);
      }
      for (const name of ['ada', 'ADA', 'root', 'nobody', '%25', '*']) {
        const answer = await as.bob.send('GET', `${path}${and}userId=${name}`);
        assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], `${path} ${name}`);
      }
      assert.equal((await as.root.send('GET', `${path}${and}userId=ada`)).status, 200, path);
    }
  });
});

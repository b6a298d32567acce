/** Who hears what over the feed, live and resumed, by WebSocket, event stream and ticket; and when a credential ends. */
import assert from 'node:assert/strict';
import { type IncomingMessage, request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import type { EventFrame, ServerFrame } from '../../contracts/feed/frames.ts';
import { createKey, revokeKey } from '../../platform/postgres/api-keys.ts';
import { cleanup } from '../kit/cleanup.ts';
import { subscribe } from '../kit/feed.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { createProbe, type Probe } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
const keys = { ada: '', bob: '', root: '' };
const as = {} as Record<keyof typeof keys, Probe>;
before(async () => {
  stack = await startTestStack(t);
  for (const user of ['ada', 'bob', 'root'] as const) {
    keys[user] = await stack.key(user, user === 'root' ? 'admin' : 'user');
    as[user] = createProbe(stack, keys[user]);
  }
});

async function round(user: 'ada' | 'bob', prompt: string): Promise<string> {
  const { id } = (await as[user].fields({ prompt })).body;
  await as[user].send('GET', `/prompts/${id}?wait=10`);
  return id!;
}
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const ticketOf = async (key: string): Promise<string> =>
  (JSON.parse((await as.ada.send('POST', '/live/tickets', { key })).text) as { ticket: string }).ticket;
const socketWith = (ticket: string) =>
  new WebSocket(`${stack.address.replace('http', 'ws')}/live`, ['live.v1', `ticket.${ticket}`]);
const opening = (socket: WebSocket): Promise<'open' | number> =>
  new Promise((resolve, reject) => {
    socket.once('open', () => resolve('open'));
    socket.once('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.once('error', reject);
  });

type Listener = { events: () => EventFrame[]; ended: () => boolean; close: () => void };

/** The event stream from the first event on. */
async function stream(key: string, path: string, headers: Record<string, string>): Promise<Listener> {
  const sent = request(new URL(path, stack.address), { headers: { ...bearer(key), ...headers } });
  let ended = false;
  let text = '';
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.end();
  });
  assert.equal(response.statusCode, 200);
  response.setEncoding('utf8');
  response.on('data', (piece: string) => {
    text += piece;
  });
  response.on('close', () => {
    ended = true;
  });
  const frames = () => [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? '') as ServerFrame);
  return {
    events: () => frames().filter((frame): frame is EventFrame => frame.type === 'event'),
    ended: () => ended,
    close: () => response.destroy(),
  };
}

/** A browser's socket, let in by a ticket of this key. */
async function browser(key: string): Promise<Listener> {
  const socket = socketWith(await ticketOf(key));
  const frames: ServerFrame[] = [];
  let ended = false;
  socket.on('message', (data) => frames.push(JSON.parse(data.toString()) as ServerFrame));
  socket.on('close', () => {
    ended = true;
  });
  assert.equal(await opening(socket), 'open');
  socket.send('{"type":"subscribe","after":0}');
  return {
    events: () => frames.filter((frame): frame is EventFrame => frame.type === 'event'),
    ended: () => ended,
    close: () => socket.terminate(),
  };
}

const DOORS: Record<string, (key: string) => Promise<Listener>> = {
  'a WebSocket': async (key) => {
    const feed = await subscribe(stack.address, key, { after: 0 });
    return { events: feed.events, ended: () => feed.closed() !== null, close: feed.close };
  },
  'an event stream by query': (key) => stream(key, '/live/events?after=0', {}),
  'an event stream by Last-Event-ID': (key) => stream(key, '/live/events', { 'last-event-id': '0' }),
  'a ticket': browser,
};

describe('all of the past and what comes', () => {
  for (const [name, open] of Object.entries(DOORS)) {
    test(`by ${name} is a user’s own, an admin’s everybody’s`, async () => {
      const old = { ada: await round('ada', 'the past of ada'), bob: await round('bob', 'the past of bob') };
      const [ada, bob, root] = await Promise.all([open(keys.ada), open(keys.bob), open(keys.root)]);
      const now = { ada: await round('ada', 'the present of ada'), bob: await round('bob', 'the present of bob') };
      const has = (feed: Listener, id: string) =>
        until(`${id} has ended on the feed`, () =>
          feed.events().some((frame) => frame.promptId === id && frame.event === 'PromptCompleted'),
        );
      for (const [feed, users] of [
        [ada, ['ada']],
        [bob, ['bob']],
        [root, ['ada', 'bob']],
      ] as const) {
        for (const user of users) for (const id of [old[user], now[user]]) await has(feed, id);
      }
      for (const [feed, users] of [
        [ada, ['ada']],
        [bob, ['bob']],
        [root, ['ada', 'bob']],
      ] as const) {
        assert.deepEqual([...new Set(feed.events().map(({ prompt }) => prompt.userId))].sort(), users);
        feed.close();
      }
    });
  }
});

describe('a subscription to another user’s prompt', () => {
  test('ends the socket, also after one to an own prompt, and tells nothing of either', async () => {
    const foreign = await round('ada', 'hidden');
    const own = await round('bob', 'shown');
    for (const promptId of [foreign, foreign.toUpperCase(), '019aaf00-0000-7000-8000-000000000000']) {
      const feed = await subscribe(stack.address, keys.bob, { promptId: own, after: 0 });
      await feed.event('the own prompt', (frame) => frame.event === 'PromptCompleted');
      feed.socket.send(JSON.stringify({ type: 'subscribe', promptId, after: 0 }));
      await until('the socket is closed', () => feed.closed());
      assert.deepEqual(feed.closed(), { code: 4404, reason: 'there is no such prompt' });
      assert.ok(feed.events().every((frame) => frame.promptId === own));
    }
  });

  test('is open to an admin', async () => {
    const promptId = await round('ada', 'for root');
    const feed = await subscribe(stack.address, keys.root, { promptId, after: 0 });
    await feed.event('the foreign prompt', (frame) => frame.event === 'PromptCompleted');
    assert.ok(feed.events().every((frame) => frame.promptId === promptId));
    feed.close();
  });

  test('that is written as a URN is refused for good, not sent away to come again', async () => {
    const promptId = `urn:uuid:${await round('bob', 'own')}`;
    const feed = await subscribe(stack.address, keys.bob, { promptId });
    const closed = await until('the socket is closed', () => feed.closed());
    console.log(closed);
    assert.ok([1008, 4404].includes(closed.code), `${closed.code} ${closed.reason}`);
  });
});

describe('a ticket', () => {
  test('is single: no second socket, no bearer anywhere, neither before its use nor after', async () => {
    const one = await ticketOf(keys.ada);
    const routes = [
      ['GET', '/prompts'],
      ['GET', '/live/events'],
      ['POST', '/live/tickets'],
      ['POST', '/ask'],
    ] as const;
    const isNoKey = async () => {
      for (const [method, path] of routes) {
        for (const key of [one, `ticket.${one}`]) assert.equal((await as.ada.send(method, path, { key })).status, 401);
      }
    };
    await isNoKey();
    const socket = socketWith(one);
    assert.equal(await opening(socket), 'open', 'it was not used up as a bearer');
    assert.equal(await opening(socketWith(one)), 401);
    await isNoKey();
    socket.terminate();
  });

  test('is kept as a hash for half a minute, and lets nobody in when that is over', async () => {
    const one = await ticketOf(keys.ada);
    const names = await stack.redis.client.keys('live:ticket:*');
    const kept = await Promise.all(names.map((name) => stack.redis.client.get(name)));
    assert.ok(names.length > 0);
    assert.ok([...names, ...kept].every((text) => !text?.includes(one)));
    for (const name of names) {
      const left = await stack.redis.client.pttl(name);
      assert.ok(left > 0 && left <= 30_000, `${left}`);
      await stack.redis.client.pexpire(name, 1);
    }
    await until('it has run out', async () => (await stack.redis.client.exists(...names)) === 0);
    assert.equal(await opening(socketWith(one)), 401);
  });

  test('is another one each time', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => ticketOf(keys.ada)));
    assert.equal(new Set(many).size, 20);
  });
});

describe('the end of a key', () => {
  const made = (expiresAt: string | null = null) =>
    createKey(stack.database.pool, { userId: 'ada', role: 'admin', name: 'short', expiresAt });
  const doors = Object.entries(DOORS).filter(([name]) => !name.endsWith('Last-Event-ID'));

  test('by revocation ends whatever was opened with it, and spares the user’s other key', async () => {
    const { key, keyId } = await made();
    const spared = await subscribe(stack.address, keys.ada);
    const open = await Promise.all(doors.map(([, door]) => door(key)));
    assert.equal(await revokeKey(stack.database.pool, keyId), true);
    for (const feed of open) await until('it was ended', feed.ended, 20_000);
    assert.equal(spared.closed(), null);
    spared.close();
  });

  test('by its expiry ends whatever was opened with it, and it is 401 from then on', async () => {
    const { key } = await made(new Date(Date.now() + 3_000).toISOString());
    const open = await Promise.all(doors.map(([, door]) => door(key)));
    for (const feed of open) await until('it was ended', feed.ended, 20_000);
    await until('it is refused', async () => (await as.ada.send('GET', '/prompts', { key })).status === 401, 20_000);
  });

  test('ends a ticket made before it', async () => {
    const { key, keyId } = await made();
    const one = await ticketOf(key);
    await revokeKey(stack.database.pool, keyId);
    const socket = socketWith(one);
    let code = 0;
    socket.once('close', (given) => {
      code = given;
    });
    // The ticket may be taken, since keys are looked at every few seconds: then for as long as that.
    const opened = await opening(socket);
    if (opened === 'open') await until('the socket is closed', () => code === 4401, 20_000);
    else assert.equal(opened, 401);
  });
});

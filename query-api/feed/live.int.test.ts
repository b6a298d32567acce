/** The live feed as its clients have it: cut, slow, hostile, many. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import type { EventFrame, ServerFrame } from '../../contracts/feed/frames.ts';
import { SUBPROTOCOL } from '../../contracts/feed/subprotocol.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import { type Appender, createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { subscribe } from '../../testing/kit/feed.ts';
import { startTestStack, type TestStack } from '../../testing/kit/stack.ts';
import { until } from '../../testing/kit/until.ts';
import { openWire } from '../../testing/kit/wire.ts';

const t = cleanup(after);
let stack: TestStack;
let appender: Appender;
before(async () => {
  stack = await startTestStack(t);
  const pool = createPool({ uri: stack.database.uri, name: 'live-test', max: 2, onError: () => {} });
  t.after(() => pool.end());
  appender = createAppender({ pool, queueLimit: 100_000 });
  t.after(appender.stop);
});

/** Prompts that nobody works on: one event each. Returns the last position. */
async function submit(userId: string, n: number, bytes = 10): Promise<number> {
  const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: `user:${userId}` };
  const results = await Promise.all(
    Array.from({ length: n }, () =>
      appender.append({
        streamId: newId(),
        expectedVersion: 0,
        events: [
          {
            eventId: newId(),
            type: 'PromptSubmitted',
            data: { ...submission, userId, prompt: 'x'.repeat(bytes) },
            metadata,
          },
        ],
        outbox: null,
      }),
    ),
  );
  return Math.max(...results.map((result) => (result.status === 'appended' ? result.position : 0)));
}

/** Of what was sent after the greeting, which tells where the feed stands. */
const positions = (frames: ServerFrame[]) =>
  frames.flatMap((frame) => (frame.type !== 'hello' && 'position' in frame ? [frame.position] : []));
const resyncOf = (feed: { frames: ServerFrame[] }) =>
  feed.frames.find((frame): frame is Extract<ServerFrame, { type: 'resync' }> => frame.type === 'resync');
const rising = (all: number[]) => all.every((position, i) => i === 0 || position > all[i - 1]!);

async function ticket(key: string): Promise<string> {
  const response = await fetch(new URL('/live/tickets', stack.address), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
  });
  return ((await response.json()) as { ticket: string }).ticket;
}
const socketUrl = () => `${stack.address.replace('http', 'ws')}/live`;
/** How a socket's opening ends: `open`, or the status it was refused with. */
const opening = (socket: WebSocket): Promise<'open' | number> =>
  new Promise((resolve, reject) => {
    socket.once('open', () => resolve('open'));
    socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
    socket.once('error', reject);
  });
const closing = (socket: WebSocket): Promise<number> => new Promise((resolve) => socket.once('close', resolve));

describe('a subscriber', () => {
  test('cut off again and again sees every event of theirs once, in order', async () => {
    const key = await stack.key('cut');
    const first = await subscribe(stack.address, key);
    const [hello] = first.frames;
    const start = hello?.type === 'hello' ? hello.position : -1;
    first.close();
    const writing = (async () => {
      for (let i = 0; i < 20; i += 1) {
        await submit('cut', 10);
        await submit('other', 10);
      }
    })();
    const seen: EventFrame[] = [];
    let seenUpTo = start;
    for (let round = 0; seen.length < 200; round += 1) {
      const feed = await subscribe(stack.address, key, { after: seenUpTo });
      const enough = 5 + (round % 4) * 15;
      await until('some events', () => feed.events().length >= Math.min(enough, 200 - seen.length));
      feed.socket.terminate();
      await until('the socket is closed', () => feed.closed());
      seen.push(...feed.events());
      seenUpTo = seen.at(-1)!.position;
      assert.ok(rising(positions(feed.frames)));
    }
    await writing;
    assert.equal(seen.length, 200);
    assert.equal(new Set(seen.map(({ promptId }) => promptId)).size, 200);
    assert.ok(rising(positions(seen)));
    assert.ok(seen.every((frame) => frame.prompt.userId === 'cut' && frame.prompt.position >= frame.position));
  });

  test('of one prompt hears of that one alone', async () => {
    const ada = await stack.client('ada');
    const { id } = await ada.ask({ prompt: 'this one', model: 'gemini-2.5-flash' });
    await ada.ask({ prompt: 'not that one', model: 'gemini-2.5-flash' });
    const feed = await subscribe(stack.address, await stack.key('ada'), { promptId: id, after: 0 });
    await feed.event('its end', (frame) => frame.event === 'PromptCompleted');
    assert.deepEqual(
      feed.events().map(({ event, promptId }) => [event, promptId]),
      [
        ['PromptSubmitted', id],
        ['AttemptStarted', id],
        ['PromptCompleted', id],
      ],
    );
    feed.close();
  });

  test('who changes the subscription is never sent a position again', async () => {
    const key = await stack.key('change');
    await submit('change', 20);
    const feed = await subscribe(stack.address, key, { after: 0 });
    await until('all are there', () => feed.events().length === 20);
    feed.socket.send(JSON.stringify({ type: 'subscribe', after: 0 }));
    await submit('change', 5);
    await until('the new ones are there', () => feed.events().length >= 25);
    assert.equal(feed.events().length, 25);
    assert.ok(rising(positions(feed.frames)));
    feed.close();
  });

  test('who asks for a position that the log has not given is told to read the state again', async () => {
    const feed = await subscribe(stack.address, await stack.key('future'), { after: 900_000_000 });
    const frame = await until('a resync', () => resyncOf(feed));
    assert.ok(frame.position < 900_000_000);
    feed.close();
  });

  test('who asks for too old a position is told to read the state again, and goes on from there', async () => {
    const key = await stack.key('old');
    const head = await submit('old', 10_050);
    await until(
      'the read model has them',
      async () => {
        const root = await stack.client('root', 'admin');
        return (await root.stats('users', {})).position >= head;
      },
      30_000,
    );
    const feed = await subscribe(stack.address, key, { after: 0 });
    const frame = await until('a resync', () => resyncOf(feed));
    assert.equal(feed.events().length, 0);
    await submit('old', 1);
    const next = await feed.event('the next one', () => true);
    assert.ok(next.position > frame.position);
    feed.close();
  });
});

describe('a subscriber that does not read', () => {
  test('costs a bounded buffer, holds up nobody, and gets all when it reads again', async () => {
    const root = await stack.key('root', 'admin');
    const start = await submit('slow', 1);
    const slow = await subscribe(stack.address, root, { after: start });
    slow.socket.pause();
    const quick = await subscribe(stack.address, root, { after: start });
    const size = 100_000;
    const count = 400; // 40 MB for a reader that takes nothing
    for (let i = 0; i < count; i += 50) await submit('slow', 50, size);
    await until('the quick one has all', () => quick.events().length === count, 60_000);
    const mine = slow.events().length;
    assert.ok(mine < count / 2, `${mine} were sent to the slow one`);
    slow.socket.resume();
    await until(
      'the slow one has all',
      () => slow.events().length === count || slow.frames.some(({ type }) => type === 'resync'),
      60_000,
    );
    assert.ok(rising(positions(slow.frames)));
    slow.close();
    quick.close();
  });
});

describe('a frame that makes no sense', () => {
  const frames: [name: string, send: (socket: WebSocket) => void, code: number][] = [
    ['not JSON', (socket) => socket.send('{'), 1007],
    ['binary', (socket) => socket.send(Buffer.from('{"type":"subscribe"}')), 1007],
    ['of no known type', (socket) => socket.send('{"type":"publish"}'), 1008],
    ['with an unknown field', (socket) => socket.send('{"type":"subscribe","since":1}'), 1008],
    ['with text for a number', (socket) => socket.send('{"type":"subscribe","after":"1"}'), 1008],
    ['negative', (socket) => socket.send('{"type":"subscribe","after":-1}'), 1008],
    ['of 5,000 bytes', (socket) => socket.send(JSON.stringify({ type: 'subscribe', x: 'y'.repeat(5_000) })), 1009],
    ['for another user’s prompt', (socket) => socket.send(`{"type":"subscribe","promptId":"${newId()}"}`), 4404],
  ];
  for (const [name, send, code] of frames) {
    test(`(${name}) closes the socket with ${code}`, async () => {
      const feed = await subscribe(stack.address, await stack.key('mallory'));
      const closed = closing(feed.socket);
      send(feed.socket);
      assert.equal(await closed, code);
    });
  }

  test('sent a thousand times closes one socket, and the service serves on', async () => {
    const feed = await subscribe(stack.address, await stack.key('mallory'));
    const closed = closing(feed.socket);
    for (let i = 0; i < 1_000; i += 1) feed.socket.send('{"type":"subscribe","after":0}');
    assert.equal(await closed, 1008);
    assert.equal((await fetch(new URL('/health', stack.address))).status, 200);
  });
});

describe('a ticket', () => {
  test('opens one socket, once, and the server selects live.v1', async () => {
    const one = await ticket(await stack.key('browser'));
    const socket = new WebSocket(socketUrl(), ['live.v1', `ticket.${one}`]);
    assert.equal(await opening(socket), 'open');
    assert.equal(socket.protocol, 'live.v1');
    const again = new WebSocket(socketUrl(), ['live.v1', `ticket.${one}`]);
    assert.equal(await opening(again), 401);
    socket.close();
  });

  test('of two who use it at once lets one in', async () => {
    const one = await ticket(await stack.key('browser'));
    const sockets = [1, 2].map(() => new WebSocket(socketUrl(), ['live.v1', `ticket.${one}`]));
    assert.deepEqual((await Promise.all(sockets.map(opening))).sort(), [401, 'open']);
    for (const socket of sockets) socket.terminate();
  });

  test('is no key for anything else, and made-up ones are none', async () => {
    const one = await ticket(await stack.key('browser'));
    const response = await fetch(new URL('/prompts', stack.address), { headers: { authorization: `Bearer ${one}` } });
    assert.equal(response.status, 401);
    assert.equal(await opening(new WebSocket(socketUrl(), ['live.v1', 'ticket.made-up'])), 401);
    assert.equal(await opening(new WebSocket(socketUrl(), ['live.v1'])), 401);
  });

  test('runs out within half a minute', async () => {
    await ticket(await stack.key('browser'));
    const [name] = await stack.redis.client.keys('live:ticket:*');
    const seconds = await stack.redis.client.ttl(name!);
    assert.ok(seconds > 0 && seconds <= 30);
  });
});

describe('over server-sent events', () => {
  type Message = { id: string | null; frame: ServerFrame };
  async function stream(key: string, headers: Record<string, string> = {}, path = '/live/events') {
    const messages: Message[] = [];
    const sent = request(new URL(path, stack.address), { headers: { authorization: `Bearer ${key}`, ...headers } });
    sent.on('error', (error: NodeJS.ErrnoException) => assert.equal(error.code, 'ECONNRESET'));
    sent.end();
    const response = await new Promise<import('node:http').IncomingMessage>((resolve) =>
      sent.once('response', resolve),
    );
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      text += piece;
      const whole = text.split('\n\n');
      text = whole.pop()!;
      for (const block of whole) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data) messages.push({ id: /^id: (.*)$/m.exec(block)?.[1] ?? null, frame: JSON.parse(data) as ServerFrame });
      }
    });
    return { response, messages, close: () => sent.destroy() };
  }

  test('the frames are the same, each with its position as its id, and resume after Last-Event-ID', async () => {
    const key = await stack.key('sse');
    const live = await stream(key);
    const feed = await subscribe(stack.address, key);
    await until('hello', () => live.messages.length > 0);
    await submit('sse', 10);
    await until('all over both', () => feed.events().length === 10 && live.messages.length >= 11);
    const events = live.messages.filter(({ frame }) => frame.type === 'event');
    assert.deepEqual(
      events.map(({ frame }) => frame),
      feed.events(),
    );
    assert.deepEqual(
      events.map(({ id }) => Number(id)),
      positions(events.map(({ frame }) => frame)),
    );
    live.close();
    const again = await stream(key, { 'last-event-id': events[3]!.id! });
    await until('the rest', () => again.messages.filter(({ frame }) => frame.type === 'event').length === 6);
    assert.deepEqual(
      again.messages.filter(({ frame }) => frame.type === 'event').map(({ frame }) => frame),
      events.slice(4).map(({ frame }) => frame),
    );
    again.close();
    feed.close();
  });

  test('a Last-Event-ID that is no position is 400', async () => {
    for (const value of ['abc', '-1', '1.5', '99999999999999999999']) {
      const { response, close } = await stream(await stack.key('sse'), { 'last-event-id': value });
      assert.equal(response.statusCode, 400, value);
      close();
    }
  });
});

test('a stop says goodbye to those who listen, and is not held up by one who does not, nor by who comes late', async () => {
  const other = await startTestStack(t, { database: stack.database, redis: stack.redis });
  const key = await stack.key('bye');
  const listening = await subscribe(other.address, key);
  const deaf = await subscribe(other.address, key);
  deaf.socket.pause();
  const closed = closing(listening.socket);
  const startedAt = performance.now();
  const stopped = other.stop();
  assert.equal(await closed, 1001);
  // The deaf one has a second to answer; until then others are still taken.
  const headers = { authorization: `Bearer ${key}` };
  const late = new WebSocket(`${other.address.replace('http', 'ws')}/live`, [SUBPROTOCOL], { headers });
  assert.equal(await closing(late), 1001);
  const stream = await fetch(`${other.address}/live/events`, { headers });
  assert.deepEqual([stream.status, stream.headers.has('retry-after')], [503, true]);
  await stream.text();
  await stopped;
  const took = performance.now() - startedAt;
  assert.ok(took < 8_000, `${took} ms`);
  deaf.socket.terminate();
});

test('a socket that carries nothing any more is ended within two pings, one that answers stays', async () => {
  const other = await startTestStack(t, { database: stack.database, redis: stack.redis, pingMs: 150 });
  const wire = await openWire(other.address);
  t.after(wire.close);
  const key = await stack.key('half-open');
  const lost = await subscribe(`http://127.0.0.1:${wire.port}`, key);
  const living = await subscribe(other.address, key);
  wire.hang();
  await until('the server gave it up', () => wire.ended > 0, 3_000);
  assert.equal(living.socket.readyState, WebSocket.OPEN);
  lost.socket.terminate();
  living.close();
});

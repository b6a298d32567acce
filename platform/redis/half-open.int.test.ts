/** Connections that stand and carry nothing: found out within seconds, by whoever uses them and by whoever only listens. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { openWire, type Wire } from '../../testing/kit/wire.ts';
import { connectRedis } from './connection.ts';
import { checkEviction } from './eviction.ts';
import { createHintBus } from './hints.ts';
import { createTaskStream } from './tasks.ts';
import { parseRedisUri } from './uri.ts';

const t = cleanup(after);
let redis: TestRedis;
let wire: Wire;
before(async () => {
  redis = await createTestRedis(t);
  wire = await openWire(redis.uri);
  t.after(wire.close);
});
beforeEach(() => wire.mend());

function open(commandTimeoutMs?: number) {
  const client = connectRedis(parseRedisUri(wire.uri), {
    name: 'half-open',
    onError: () => {},
    ...(commandTimeoutMs !== undefined && { commandTimeoutMs }),
  });
  t.after(async () => client.disconnect());
  return client;
}

/** Hints over the wire; `heard` resolves when one more has come. */
function listen(everyMs: number, onError: (error: unknown) => void = () => {}) {
  const subscriber = open(200);
  const hints = createHintBus(redis.client, subscriber, onError, everyMs);
  t.after(hints.close);
  let count = 0;
  hints.on('log', () => {
    count += 1;
  });
  const heard = async () => {
    const before = count;
    await until('a hint is heard', () => {
      hints.send('log');
      return count > before;
    });
  };
  return { subscriber, heard };
}

describe('a half-open connection to Redis', () => {
  test('fails its command in time, and the client has a new one soon after', async () => {
    const client = open(200);
    assert.equal(await client.ping(), 'PONG');
    const before = wire.taken;
    wire.hang();
    await assert.rejects(client.ping(), /timed out/i);
    await until('it has given the connection up', () => wire.taken > before, 3_000);
    wire.mend();
    await until('it answers again', () => client.ping().catch(() => null), 5_000);
  });

  test('under a listener of hints is found out without any hint being sent', async () => {
    const { heard } = listen(50);
    await heard();
    const before = wire.taken;
    wire.hang();
    await until('it has given the connection up', () => wire.taken > before, 5_000);
    wire.mend();
    await heard();
  });

  test('that begins before a listener has subscribed anew is told to whoever asked for the hints', async () => {
    const faults: unknown[] = [];
    const { subscriber, heard } = listen(60_000, (error) => faults.push(error));
    await heard();
    // Once the client calls itself ready its next words are under way, and are not heard any more.
    subscriber.once('ready', wire.hang);
    wire.reset();
    await until('its subscription has failed', () => faults.some((error) => /timed out/.test(String(error))));
    wire.mend();
    wire.reset();
    await heard();
  });

  test('does not make a blocked read fail that only waits', async () => {
    const client = open(1_000);
    assert.equal(await client.xread('BLOCK', 700, 'STREAMS', 'nothing-comes', '$'), null);
    assert.equal(wire.taken > 0, true);
  });
});

test('hints are heard though Redis was away when the process started, and for longer than a command is tried', async () => {
  wire.cut();
  const errors: unknown[] = [];
  const { heard } = listen(50, (error) => errors.push(error));
  await until('it found nobody, again and again', () => errors.length >= 3);
  wire.mend();
  await heard();
});

test('a cluster that is away fails commands at once, instead of keeping them without end', async () => {
  wire.cut();
  const client = connectRedis(parseRedisUri(`redis+cluster://127.0.0.1:${wire.port}`), {
    name: 'away',
    onError: () => {},
  });
  t.after(async () => client.disconnect());
  const startedAt = performance.now();
  const settled = await Promise.allSettled([client.ping(), client.xlen('tasks'), client.publish('hint:log', '')]);
  assert.deepEqual([...new Set(settled.map(({ status }) => status))], ['rejected']);
  assert.ok(performance.now() - startedAt < 3_000);
  await assert.rejects(client.ping());
});

test('an XADD whose reply is lost is not sent again by the client: the relay reads the stream’s state instead', async () => {
  const client = open(500);
  const tasks = createTaskStream(client, 'lost-reply');
  await client.ping();
  wire.loseAnswer();
  const entry = { dispatch: 7, promptId: 'p', lane: 'normal', model: 'm', traceparent: null };
  await assert.rejects(tasks.publish([entry], '0-0'));
  assert.equal(await redis.client.xlen('lost-reply'), 1);
  const state = await until('it is connected again', () => tasks.state().catch(() => null));
  assert.equal(state.lastId, '7-0');
  assert.deepEqual(await tasks.publish([{ ...entry, dispatch: 8 }], '0-0'), { published: false, lastId: '7-0' });
});

describe('a Redis that evicts', () => {
  after(() => redis.client.config('SET', 'maxmemory-policy', 'noeviction'));
  const told: unknown[] = [];

  for (const policy of ['allkeys-lru', 'allkeys-random', 'allkeys-lfu']) {
    test(`${policy} is refused, in one sentence that says what to do`, async () => {
      await redis.client.config('SET', 'maxmemory-policy', policy);
      await assert.rejects(
        checkEviction(redis.client, () => {}),
        {
          code: 'redis_evicts',
          message: new RegExp(`maxmemory-policy ${policy}.*set maxmemory-policy to noeviction`),
        },
      );
    });
  }
  for (const policy of ['noeviction', 'volatile-lru']) {
    test(`${policy} is taken`, async () => {
      await redis.client.config('SET', 'maxmemory-policy', policy);
      await checkEviction(redis.client, (error) => told.push(error));
      assert.deepEqual(told, []);
    });
  }
  test('or not, when it cannot be asked, is told and taken', async () => {
    wire.cut();
    await checkEviction(open(200), (error) => told.push(error));
    assert.equal(told.length, 1);
  });
});

/** What a bus of hints tells of: losses, and not its own end. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { connectRedis, disconnectRedis } from './connection.ts';
import { createHintBus } from './hints.ts';
import { parseRedisUri } from './uri.ts';

const t = cleanup(after);

async function openBus() {
  const { uri } = await createTestRedis(t);
  const open = (name: string) => {
    const client = connectRedis(parseRedisUri(uri), { name, onError: () => {} });
    t.after(async () => disconnectRedis(client));
    return client;
  };
  const [publisher, subscriber] = [open('publisher'), open('subscriber')];
  const told: string[] = [];
  const bus = createHintBus(publisher, subscriber, (error) => told.push((error as Error).message));
  t.after(bus.close);
  await until('both are connected', () => publisher.status === 'ready' && subscriber.status === 'ready');
  const areGone = async () => {
    for (const client of [publisher, subscriber]) disconnectRedis(client);
    await until('both are closed', () => publisher.status === 'end' && subscriber.status === 'end');
    await new Promise(setImmediate); // whoever was refused has heard of it
  };
  return { bus, told, areGone };
}

test('a hint whose connection is lost is told of', async () => {
  const { bus, told, areGone } = await openBus();
  bus.on('log', () => {});
  bus.send('log');
  await areGone();
  assert.deepEqual(new Set(told), new Set(['Connection is closed.']));
});

test('a hint that is under way when the bus is closed is not', async () => {
  const { bus, told, areGone } = await openBus();
  bus.on('log', () => {});
  bus.send('log');
  await bus.close();
  await areGone();
  assert.deepEqual(told, []);
});

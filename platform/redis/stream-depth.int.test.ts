import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { readStreamDepth } from './stream-depth.ts';

const t = cleanup(after);
let redis: TestRedis;
before(async () => {
  redis = await createTestRedis(t);
});
const depth = () => readStreamDepth(redis.client, 's', 'g');

test('a stream that is not there has nothing in it; without its group all of it waits', async () => {
  assert.deepEqual(await depth(), { entries: 0, lag: 0, pending: 0 });
  for (let i = 1; i <= 5; i += 1) await redis.client.xadd('s', `${i}-0`, 'a', 'b');
  assert.deepEqual(await depth(), { entries: 5, lag: 5, pending: 0 });
});

test('what was given is pending until it is acknowledged', async () => {
  await redis.client.xgroup('CREATE', 's', 'g', '0');
  await redis.client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 3, 'STREAMS', 's', '>');
  assert.deepEqual(await depth(), { entries: 5, lag: 2, pending: 3 });
  await redis.client.xack('s', 'g', '1-0', '2-0');
  assert.deepEqual(await depth(), { entries: 5, lag: 2, pending: 1 });
});

test('a lag that Redis cannot tell is null: an entry was deleted before it was given', async () => {
  await redis.client.xdel('s', '4-0');
  assert.deepEqual(await depth(), { entries: 4, lag: null, pending: 1 });
});

test('a key of another type is an error', async () => {
  await redis.client.set('string', 'x');
  await assert.rejects(readStreamDepth(redis.client, 'string', 'g'), /WRONGTYPE/);
});

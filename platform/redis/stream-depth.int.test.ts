import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { fieldsOf } from './info-fields.ts';
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

test('a lag that Redis cannot tell is counted: an entry was deleted before it was given', async () => {
  for (let i = 6; i <= 9; i += 1) await redis.client.xadd('s', `${i}-0`, 'a', 'b');
  await redis.client.xdel('s', '4-0');
  const [group] = (await redis.client.call('XINFO', 'GROUPS', 's')) as unknown[];
  assert.equal(fieldsOf(group).get('lag'), undefined);
  // 3-0 is pending, 1-0 and 2-0 are acknowledged and still there.
  assert.deepEqual(await depth(), { entries: 8, lag: 5, pending: 1 });
  await redis.client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', 's', '>');
  // It knows again, but for the one that it never gave.
  assert.deepEqual(await depth(), { entries: 8, lag: 1, pending: 6 });
});

test('so is one of many, up to where counting would cost too much', async () => {
  const fill = "for i = 10, 12009 do redis.call('XADD', KEYS[1], i .. '-0', 'a', 'b') end";
  await redis.client.eval(fill, 1, 's');
  await redis.client.xdel('s', '11-0');
  // 12,000 were added and one deleted; those two that are acknowledged cannot be told from what waits.
  assert.deepEqual(await depth(), { entries: 12_007, lag: 12_001, pending: 6 });
});

test('a key of another type is an error', async () => {
  await redis.client.set('string', 'x');
  await assert.rejects(readStreamDepth(redis.client, 'string', 'g'), /WRONGTYPE/);
});

/** A logical database of Redis for a test file, empty. */
import { Redis } from 'ioredis';
import type { After } from './database.ts';
import { required } from './environment.ts';
import { REDIS_DATABASES } from './servers.ts';

export type TestRedis = { uri: string; client: Redis };

export async function createTestRedis(t: After): Promise<TestRedis> {
  const server = required('TEST_REDIS_URI');
  const counter = new Redis(server);
  const number = await counter.incr('test-databases');
  counter.disconnect();
  const uri = `${server}/${1 + (number % (REDIS_DATABASES - 1))}`;
  const client = new Redis(uri);
  await client.flushdb();
  t.after(async () => {
    client.disconnect();
  });
  return { uri, client };
}

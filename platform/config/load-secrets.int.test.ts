/** Addresses that look right and are not: the process says which variable, and not what was in it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { run } from '../../testing/kit/process.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';

const t = cleanup(after);
const SECRET = 'hunter2';
let database: TestDatabase;
let redis: TestRedis;
before(async () => {
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
});

/** What it says until it ends, or until it begins to wait for something. */
async function told(env: Record<string, string>): Promise<string> {
  const service = run(t, ['worker/main.ts'], {
    HOST: '127.0.0.1',
    ADMIN_PORT: '0',
    POSTGRES_URI: database.uri,
    REDIS_URI: redis.uri,
    GEMINI_API_KEY: 'k',
    ...env,
  });
  let ended = false;
  void service.exit.then(() => {
    ended = true;
  });
  await until('it has said something', () => ended || service.said().includes('\n'));
  await service.end('SIGKILL');
  return service.said();
}

describe('an address that cannot be parsed', () => {
  const wrong: Record<string, string>[] = [
    { REDIS_URI: `redis+cluster://u:${SECRET}:w@a:1` },
    { REDIS_URI: `redis+sentinel://u:${SECRET}@a:1/` },
    { POSTGRES_URI: `postgres://u:${SECRET}#@127.0.0.1/n` },
    { POSTGRES_URI: `postgres://u:${SECRET}@127.0.0.1:99999/n` },
  ];
  for (const env of wrong) {
    const [[name, value] = ['', '']] = Object.entries(env);
    const shown = value.replace(SECRET, '…');
    test(`(${shown}) is not repeated`, async () => assert.doesNotMatch(await told(env), new RegExp(SECRET)));
    test(`(${shown}) is a fault of ${name}, told at once`, async () =>
      assert.match(await told(env), new RegExp(`^ +${name}: `, 'm')));
  }
});

test('a key that is given is in no line of a service that starts', async () => {
  const said = await told({ GEMINI_API_KEY: SECRET, LOG_LEVEL: 'trace' });
  assert.match(said, /\n/);
  assert.doesNotMatch(said, new RegExp(SECRET));
});

/** The verdict of `/readyz`, whole and with a dependency left out. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { startAdmin } from './admin.ts';

let admin: Awaited<ReturnType<typeof startAdmin>>;
let postgresIsUp = true;
before(async () => {
  admin = await startAdmin({
    host: '127.0.0.1',
    port: 0,
    registry: new Registry(),
    ready: async () => ({ postgres: { ok: postgresIsUp }, redis: { ok: false, detail: 'Connection is closed.' } }),
  });
});
after(() => admin.close());

async function ask(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`http://127.0.0.1:${admin.port}${path}`);
  return { status: response.status, body: await response.json() };
}

describe('/readyz', () => {
  const checks = { postgres: { ok: true }, redis: { ok: false, detail: 'Connection is closed.' } };

  test('is 503 with every check while one of them fails', async () => {
    assert.deepEqual(await ask('/readyz'), { status: 503, body: { status: 'not ready', checks } });
  });

  test('shows what is excluded, and does not judge by it', async () => {
    assert.deepEqual(await ask('/readyz?exclude=redis'), { status: 200, body: { status: 'ok', checks } });
    assert.equal((await ask('/readyz?exclude=postgres')).status, 503);
    assert.equal((await ask('/readyz?exclude=postgres&exclude=redis')).status, 200);
  });

  test('still judges by the others', async (t) => {
    postgresIsUp = false;
    t.after(() => {
      postgresIsUp = true;
    });
    assert.equal((await ask('/readyz?exclude=redis')).status, 503);
  });

  test('refuses to exclude what it does not check: a misspelt probe is found out', async () => {
    const { status, body } = await ask('/readyz?exclude=reddis');
    assert.equal(status, 400);
    assert.deepEqual(body, {
      status: 'error',
      detail: 'cannot exclude reddis: the checks are postgres, redis',
    });
  });
});

/** Who leads, and how soon a leader that nobody hears of any more is one no longer: on both sides of the lock. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createTaskStream } from '../../platform/redis/tasks.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createTestRedis } from '../../testing/kit/redis.ts';
import { until } from '../../testing/kit/until.ts';
import { openWire, type Wire } from '../../testing/kit/wire.ts';
import { isLed, tryLead } from './leader.ts';
import { createRelay } from './relay.ts';

const t = cleanup(after);
let database: TestDatabase;
let wire: Wire;
before(async () => {
  database = await createTestDatabase(t);
  wire = await openWire(database.uri);
  t.after(wire.close);
});
beforeEach(() => wire.mend());

const lead = async (uri: string, name: string) => {
  const won = await until(`${name} leads`, () => tryLead(uri, name));
  t.after(won.release);
  return won;
};

describe('the lead', () => {
  test('is one’s own until it is released', async () => {
    assert.equal(await isLed(database.pool), false);
    const first = await lead(database.uri, 'first');
    assert.equal(await tryLead(database.uri, 'second'), null);
    assert.equal(await isLed(database.pool), true);
    await first.release();
    assert.equal(first.lost, true);
    const second = await tryLead(database.uri, 'second');
    assert.ok(second);
    await second.release();
  });

  test('of a process that says nothing ends by the server’s word, for it and for the others', async () => {
    const silent = await lead(database.uri, 'silent');
    const { rows } = await database.pool.query<{ idle: string }>(
      `SELECT count(*)::integer AS idle FROM pg_stat_activity WHERE application_name = 'silent'`,
    );
    assert.deepEqual(rows, [{ idle: 1 }]);
    const next = await until('another leads', () => tryLead(database.uri, 'next'), 8_000);
    await until('it knows', () => silent.lost);
    await assert.rejects(silent.ledger.keep());
    await next.release();
  });

  test('over a connection that hangs is given up within seconds, and another one takes it', async () => {
    const cut = await lead(wire.uri, 'cut off');
    wire.hang();
    const startedAt = performance.now();
    await assert.rejects(cut.ledger.keep());
    assert.ok(performance.now() - startedAt < 4_500, `${performance.now() - startedAt} ms`);
    assert.equal(cut.lost, true);
    const next = await until('another leads', () => tryLead(database.uri, 'next'), 8_000);
    await next.release();
    await cut.release();
  });
});

test('a relay whose connection hangs leads again by a new one', async (c) => {
  const redis = await createTestRedis(t);
  let won = 0;
  const relay = createRelay({
    tasks: createTaskStream(redis.client, 'tasks'),
    lead: async () => {
      const leadership = await tryLead(wire.uri, 'relay');
      if (leadership) won += 1;
      return leadership;
    },
    sweep: async () => {},
    logger: { info: () => {}, warn: () => {} },
    pollMs: 10,
    standbyMs: 20,
  });
  relay.start();
  c.after(relay.stop);
  await until('it leads', () => relay.leads);
  wire.hang();
  wire.mend();
  await until('it leads anew', () => relay.leads && won === 2, 12_000);
});

test('a relay is stopped within seconds though its connection hangs', async (c) => {
  const redis = await createTestRedis(t);
  const relay = createRelay({
    tasks: createTaskStream(redis.client, 'tasks'),
    lead: () => tryLead(wire.uri, 'relay'),
    sweep: async () => {},
    logger: { info: () => {}, warn: () => {} },
    pollMs: 10,
  });
  relay.start();
  c.after(relay.stop);
  await until('it leads', () => relay.leads);
  wire.hang();
  const startedAt = performance.now();
  await relay.stop();
  assert.ok(performance.now() - startedAt < 8_000);
});

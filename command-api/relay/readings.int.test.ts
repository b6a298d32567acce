/** What metrics tell of the outbox, against rows made by hand. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { newId } from '../../platform/ids.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createReadings } from './readings.ts';

const t = cleanup(after);
let database: TestDatabase;
before(async () => {
  database = await createTestDatabase(t);
});
beforeEach(() => database.pool.query('TRUNCATE outbox, worker, parked_model'));

type Row = { lane?: number; model?: string; due?: string; dispatched?: string; token?: boolean };

async function open({ lane = 1, model = 'm', due = '0 s', dispatched, token = false }: Row): Promise<void> {
  await database.pool.query(
    `INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, dispatch, dispatched_at, token, lease_until, opened_at)
     VALUES ($1, 'u', $2, $3, now() + $4::interval, CASE WHEN $5::text IS NULL THEN NULL ELSE nextval('dispatch_number') END,
             now() + $5::interval, $6::uuid, CASE WHEN $6::uuid IS NULL THEN NULL ELSE now() END, now())`,
    [newId(), model, lane, due, dispatched ?? null, token ? newId() : null],
  );
}

const readings = () => createReadings(database.pool, () => true);
const full = async () => (await readings().outbox()).filter(({ prompts }) => prompts > 0);

describe('open prompts', () => {
  test('are counted by lane and by what they wait for, with the age of the oldest', async () => {
    await database.pool.query(`INSERT INTO parked_model VALUES ('parked', 'breaker', now() + interval '1 hour')`);
    await database.pool.query(`INSERT INTO parked_model VALUES ('m', 'breaker', now() - interval '1 s')`);
    await open({ due: '-90 s' });
    await open({ due: '-30 s' });
    await open({ due: '1 hour' });
    await open({ due: '-200 s', model: 'parked' });
    await open({ lane: 0, due: '-500 s', dispatched: '-40 s' });
    await open({ lane: 2, due: '-500 s', dispatched: '-300 s', token: true });
    const rows = (await full()).map(({ oldestSeconds, ...row }) => ({
      ...row,
      oldest: Math.floor(oldestSeconds / 10) * 10,
    }));
    assert.deepEqual(rows, [
      { lane: 'interactive', state: 'dispatched', prompts: 1, oldest: 40 },
      { lane: 'normal', state: 'waiting', prompts: 2, oldest: 90 },
      { lane: 'normal', state: 'parked', prompts: 1, oldest: 200 },
      { lane: 'normal', state: 'scheduled', prompts: 1, oldest: 0 },
      { lane: 'batch', state: 'running', prompts: 1, oldest: 300 },
    ]);
  });

  test('that are none are 0 in every lane and state, not absent', async () => {
    const rows = await readings().outbox();
    assert.equal(rows.length, 15);
    assert.ok(rows.every(({ prompts, oldestSeconds }) => prompts === 0 && oldestSeconds === 0));
  });
});

test('workers are those that reported in the last ten seconds, with slots and calls', async () => {
  await database.pool.query(
    `INSERT INTO worker VALUES ('a', 5, 2, now()), ('b', 7, 1, now()), ('gone', 100, 50, now() - interval '11 s')`,
  );
  assert.deepEqual(await readings().workers(), { workers: 2, slots: 12, running: 3 });
  await database.pool.query('TRUNCATE worker');
  assert.deepEqual(await readings().workers(), { workers: 0, slots: 0, running: 0 });
});

test('models are parked until their time is over', async () => {
  await database.pool.query(
    `INSERT INTO parked_model VALUES ('m', 'daily_quota', now() + interval '100 s'), ('n', 'breaker', now() - interval '1 s')`,
  );
  const [parked, ...others] = await readings().parkedModels();
  assert.deepEqual([parked?.model, parked?.reason, others], ['m', 'daily_quota', []]);
  assert.ok(parked!.seconds > 95 && parked!.seconds <= 100);
});

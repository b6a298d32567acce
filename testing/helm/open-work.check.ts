/** The query that KEDA scales the workers by, as the chart renders it, on a real PostgreSQL. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { cleanup } from '../kit/cleanup.ts';
import { until } from '../kit/until.ts';
import { allDone, callOf, completed, createRig, createScript, type Rig, unbilled } from '../kit/worker-rig.ts';
import { ROOT } from './chart-values.ts';
import { find, manifestsOf, type ValuesName } from './helm.ts';

const t = cleanup(after);
const triggerOf = (name: ValuesName): Record<string, string> =>
  find(manifestsOf(name), 'ScaledObject').spec.triggers[0].metadata;
const { query: QUERY = '', targetQueryValue, activationTargetQueryValue } = triggerOf('sentinel');

let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

async function slotsWanted(on: Pick<pg.Client, 'query'> = rig.database.pool): Promise<number> {
  const { rows, fields } = await on.query<{ slots_wanted: number }>(QUERY);
  // KEDA reads one float64.
  assert.equal(rows.length, 1);
  assert.deepEqual(
    fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
    [['slots_wanted', pg.types.builtins.FLOAT8]],
  );
  return rows[0]!.slots_wanted;
}

describe('a prompt', () => {
  test('counts while it waits, is handed over and runs, and no longer when it is done', async (c) => {
    const line = rig.createLine();
    const script = createScript();
    assert.equal(await slotsWanted(), 0);
    const promptId = await rig.submit();
    assert.equal(await slotsWanted(), 1, 'waits for the relay');
    await line.dispatch(promptId);
    assert.equal(await slotsWanted(), 1, 'waits for a worker');
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    const call = await callOf(script, promptId);
    assert.equal(await slotsWanted(), 1, 'runs');
    assert.ok(1 > Number(activationTargetQueryValue), 'and keeps its worker');
    call.end(completed());
    await allDone(line);
    assert.equal(await slotsWanted(), 0);
  });

  test('counts when it is no longer wanted for as long as its call runs', async (c) => {
    const line = rig.createLine();
    const script = createScript();
    const promptId = await rig.submit();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    const call = await callOf(script, promptId);
    await rig.database.pool.query("UPDATE outbox SET state = 'closing' WHERE prompt_id = $1", [promptId]);
    assert.equal(await slotsWanted(), 1);
    await rig.database.pool.query("UPDATE outbox SET state = 'open' WHERE prompt_id = $1", [promptId]);
    call.end(completed());
    await allDone(line);
    assert.equal(await slotsWanted(), 0);
  });

  test('does not count before its next attempt is due', async (c) => {
    const line = rig.createLine();
    const script = createScript();
    const promptId = await rig.submit();
    await line.dispatch(promptId);
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    const later = { afterSeconds: 3_600, billing: unbilled, emulated: false };
    (await callOf(script, promptId)).end({ type: 'retry', code: 'provider_503', message: 'later', ...later });
    await until('the attempt failed', async () => (await rig.types(promptId)).includes('AttemptFailed'));
    // It is on record before the worker has told Redis and is free.
    await until('the worker is free', () => worker.running === 0);
    assert.equal(await slotsWanted(), 0);
    await rig.database.pool.query('UPDATE outbox SET due_at = clock_timestamp() WHERE prompt_id = $1', [promptId]);
    assert.equal(await slotsWanted(), 1);
    await rig.database.pool.query('DELETE FROM outbox WHERE prompt_id = $1', [promptId]);
  });

  test('whose model is parked counts when it runs, not when it waits', async () => {
    const { pool } = rig.database;
    const waiting = await rig.submit();
    const { model } = (await pool.query('SELECT model FROM outbox WHERE prompt_id = $1', [waiting])).rows[0]!;
    await pool.query("INSERT INTO parked_model VALUES ($1, 'quota', clock_timestamp() + interval '1 hour')", [model]);
    assert.equal(await slotsWanted(), 0);
    const line = rig.createLine();
    await line.dispatch(waiting);
    assert.equal(await slotsWanted(), 1);
    await pool.query('UPDATE outbox SET dispatch = NULL, dispatched_at = NULL');
    await pool.query("UPDATE parked_model SET until = clock_timestamp() - interval '1 second'");
    assert.equal(await slotsWanted(), 1);
    await pool.query('DELETE FROM outbox');
    await pool.query('DELETE FROM parked_model');
  });
});

describe('a backlog', () => {
  /** Waiting rows of the chart's limit: workers at most, times their slots. */
  const LIMIT = 20 * 20;

  test('asks for as many workers as there may be, and costs no more when it is long', async () => {
    const { pool } = rig.database;
    await pool.query(`INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at)
      SELECT gen_random_uuid(), 'user-' || n % 100, 'm', 1, clock_timestamp(), clock_timestamp()
        FROM generate_series(1, 20000) n`);
    await pool.query(`UPDATE outbox SET dispatch = nextval('dispatch_number') WHERE prompt_id IN
      (SELECT prompt_id FROM outbox LIMIT 50)`);
    await pool.query('ANALYZE outbox');
    assert.equal(await slotsWanted(), LIMIT + 50);
    assert.equal(Math.ceil(LIMIT / Number(targetQueryValue)), 20);
    const { rows } = await pool.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(`EXPLAIN (ANALYZE, FORMAT JSON) ${QUERY}`);
    const looked = lookedAt(rows[0]!['QUERY PLAN'][0]!.Plan);
    assert.ok(looked > LIMIT && looked < 2 * LIMIT, `${looked} rows of the outbox were looked at`);
    await pool.query('DELETE FROM outbox');
  });

  test('is limited by what each cluster’s values allow', () => {
    assert.match(QUERY, new RegExp(`LIMIT ${LIMIT}\\)`));
    assert.match(triggerOf('everything')['query'] ?? '', /LIMIT 25000\)/);
  });
});

test('a login with the rights that the how-to gives it may ask, and nothing else', async () => {
  const page = readFileSync(join(ROOT, 'doc/how-to/run-on-a-cluster.md'), 'utf8');
  const [, statements = ''] = /```sql\n(CREATE ROLE prompts_scaler.*?)```/s.exec(page) ?? [];
  assert.match(statements, /GRANT/);
  await rig.database.pool.query(statements);
  const url = new URL(rig.database.uri);
  [url.username, url.password] = ['prompts_scaler', '…'];
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    assert.equal(await slotsWanted(client), 0);
    await assert.rejects(client.query('SELECT FROM event'), { code: '42501' });
    await assert.rejects(client.query('DELETE FROM outbox'), { code: '42501' });
  } finally {
    await client.end();
    await rig.database.pool.query('DROP OWNED BY prompts_scaler');
    await rig.database.pool.query('DROP ROLE prompts_scaler');
  }
});

type Plan = {
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
};
/** Rows of the outbox that a plan read, kept or not. */
function lookedAt(plan: Plan): number {
  const own =
    plan['Relation Name'] === 'outbox'
      ? (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops']
      : 0;
  return own + (plan.Plans ?? []).map(lookedAt).reduce((sum, n) => sum + n, 0);
}

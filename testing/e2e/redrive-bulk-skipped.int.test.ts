/** What a bulk redrive finds and does not send again, and which tables it looks into. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { completed, fail, REASON, requeuesOf, statusOf } from './redrive-bulk-prompts.ts';

const t = cleanup(after);
let stack: TestStack;
before(async () => {
  stack = await startTestStack(t);
});

describe('what is skipped', () => {
  test('the expired, with their code; in front of others they do not stand in the way', async () => {
    const client = await stack.client('expiry');
    const expiresAt = new Date(Date.now() + 3_000).toISOString();
    const expired = await fail(client, { expiresAt });
    const later = await fail(client);
    await until('the first has expired', () => Date.now() > Date.parse(expiresAt));
    const skipped = [{ id: expired.id, code: 'expired' }];
    const dry = await client.retryAll({}, REASON, { dryRun: true });
    assert.deepEqual(dry, { matched: 2, requeued: 0, skipped, more: false });
    const one = await client.retryAll({}, REASON, { limit: 1 });
    assert.deepEqual(one, { matched: 1, requeued: 1, skipped: [], more: false });
    await completed(client, later);
    assert.deepEqual(await client.retryAll({}, REASON), { matched: 1, requeued: 0, skipped, more: false });
    assert.equal(await statusOf(client, expired), 'failed');
  });

  test('what only an outdated read model has as failed: nothing is appended to its stream', async () => {
    const client = await stack.client('stale');
    const { id } = await client.ask({ prompt: 'x' });
    const { position } = await client.prompt(id, { wait: 20 });
    await stack.database.pool.query(`UPDATE prompt_v1 SET status = 'failed' WHERE prompt_id = $1`, [id]);
    assert.deepEqual(await client.retryAll({}, REASON), {
      matched: 1,
      requeued: 0,
      skipped: [{ id, code: 'wrong_state' }],
      more: false,
    });
    const { rows } = await stack.database.pool.query('SELECT max(position) AS n FROM event WHERE stream_id = $1', [id]);
    assert.equal(rows[0].n, position);
  });

  test('what was sent again already is not even found, however far behind the read model is', async () => {
    const client = await stack.client('waiting');
    const { id } = await client.ask({ prompt: 'x', notBefore: new Date(Date.now() + 3_600_000).toISOString() });
    await until('it is in the read model', async () => (await client.prompts()).data.length === 1);
    await stack.database.pool.query(`UPDATE prompt_v1 SET status = 'failed' WHERE prompt_id = $1`, [id]);
    assert.equal((await client.retryAll({}, REASON)).matched, 0);
  });
});

test('the read model’s tables are found by the version that is live', async () => {
  const client = await stack.client('version');
  await fail(client);
  await stack.database.pool.query(`
    SELECT create_prompts_tables_v4(2, false);
    INSERT INTO prompt_v2 SELECT prompt_id, user_id, status, model, conversation_id, emulated, submitted_at, submitted_position,
           position, state FROM prompt_v1 WHERE user_id = 'version';
    UPDATE prompt_v1 SET status = 'completed' WHERE user_id = 'version';
    INSERT INTO projection_version (name, version, status) VALUES ('prompts', 2, 'ready');
    INSERT INTO cursor SELECT name, 2, lane, position, as_of FROM cursor WHERE version = 1;
    UPDATE projection SET live_version = 2;`);
  try {
    assert.equal((await client.retryAll({}, REASON)).requeued, 1);
  } finally {
    await stack.database.pool.query(`
      UPDATE projection SET live_version = 1;
      DELETE FROM projection_version WHERE version = 2;`);
  }
  assert.deepEqual(await requeuesOf(stack.database.pool, 'version'), [1]);
});

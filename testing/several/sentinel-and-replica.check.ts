/** A master of Redis, its replica and three sentinels, of which the master is lost; reads from a replica of PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertFaultless, rollUnderLoad } from './roll.ts';

const READERS = `SELECT DISTINCT application_name AS name FROM pg_stat_activity
  WHERE application_name LIKE 'query-api-%-reads' ORDER BY 1`;
type Named = { name: string };

test('Redis fails over under Sentinel, reads come from a replica: no prompt is lost, none is called twice, no read refused', async (t) => {
  const onReplica: string[] = [];
  let accepted = 0;
  const rolled = await rollUnderLoad(t, {
    name: 'Redis under Sentinel, reads from a replica',
    seed: 13,
    redis: 'sentinel',
    standby: true,
    midway: async (fleet, during) => {
      const { query, redis: lost, redisServers, standby } = fleet;
      const [state] = await standby!.query<{ recovers: boolean }>('SELECT pg_is_in_recovery() AS recovers');
      assert.equal(state?.recovers, true);
      onReplica.push(...(await standby!.query<Named>(READERS)).map(({ name }) => name));
      assert.deepEqual(await query(READERS), [], 'nobody reads from the primary in its place');
      const asks = await during('the master of Redis killed', async () => {
        await lost.kill();
        await redisServers.failedOver();
      });
      assert.notEqual(fleet.redis, lost);
      accepted = asks.length;
    },
  });
  assert.deepEqual(onReplica, ['query-api-1-reads', 'query-api-2-reads']);
  assert.ok(accepted > 0, 'prompts were accepted while there was no master');
  const reads = rolled.evidence.operations.filter(({ api }) => api.startsWith('query-api'));
  assert.ok(reads.length >= 50, `${reads.length} reads are too few`);
  assertFaultless(rolled);
});

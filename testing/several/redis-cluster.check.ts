/** A Redis Cluster of three masters, of which the one with the tasks is killed and started again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../kit/until.ts';
import { assertFaultless, rollUnderLoad } from './roll.ts';

test('a Redis Cluster loses a master and has it back between two restarts, and no request fails', async (t) => {
  let accepted = 0;
  const rolled = await rollUnderLoad(t, {
    name: 'a Redis Cluster',
    seed: 12,
    redis: 'cluster',
    midway: async ({ redis, redisServers }, during) => {
      const asks = await during('the master with the tasks killed', async () => {
        await redis.kill();
        await until('the others miss it', async () => !(await redisServers.isWhole()));
        await redis.start();
        await until('the cluster is whole again', redisServers.isWhole, 20_000);
      });
      accepted = asks.length;
    },
  });
  assert.ok(accepted > 0, 'prompts were accepted while it was away');
  assertFaultless(rolled);
});

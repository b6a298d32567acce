/** One PostgreSQL, one Redis, two of every service. */
import { test } from 'node:test';
import { assertFaultless, rollUnderLoad } from './roll.ts';

test('two of every service are restarted one by one, and no request fails', async (t) => {
  assertFaultless(await rollUnderLoad(t, { name: 'one of each server', seed: 11 }));
});

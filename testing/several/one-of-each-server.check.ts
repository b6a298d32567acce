/** One PostgreSQL, one Redis, two of every service. */
import { test } from 'node:test';
import { assertFaultless, rollUnderLoad } from './roll.ts';

test('two of every service are restarted one by one, and no request fails', async () => {
  assertFaultless(await rollUnderLoad({ name: 'one of each server', seed: 11 }));
});

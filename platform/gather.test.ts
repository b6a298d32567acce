import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { latch } from '../testing/kit/until.ts';
import { createGatherer } from './gather.ts';

describe('a gatherer', () => {
  test('makes one call at a time, of what came meanwhile, and gives everybody their own', async () => {
    const calls: number[][] = [];
    const first = latch();
    const gather = createGatherer<number, string>(async (items) => {
      calls.push(items);
      if (calls.length === 1) await first.promise;
      return items.map((item) => `n${item}`);
    }, 3);
    const one = gather(1);
    await new Promise((resolve) => setImmediate(resolve));
    const rest = [2, 3, 4, 5].map(gather);
    first.release();
    assert.deepEqual(await Promise.all([one, ...rest]), ['n1', 'n2', 'n3', 'n4', 'n5']);
    assert.deepEqual(calls, [[1], [2, 3, 4], [5]]);
  });

  test('fails for those of the batch that failed, and for nobody after', async () => {
    const gather = createGatherer<number, number>(async (items) => {
      if (items.includes(13)) throw new Error('unlucky');
      return items;
    }, 10);
    const results = await Promise.allSettled([gather(13), gather(1)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(await gather(2), 2);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { latch, until } from '../../testing/kit/until.ts';
import { readSparingly } from './instrument.ts';

describe('a reading that may take long', () => {
  test('is told as it was last while a newer one is not there, which is made once', async () => {
    let made = 0;
    const slow = latch();
    const read = readSparingly(async () => {
      made += 1;
      if (made === 2) await slow.promise;
      return made;
    }, 20);
    assert.equal(await read(), 1);
    await until('it may be made again', async () => {
      assert.equal(await read(), 1);
      return made === 2;
    });
    assert.deepEqual(await Promise.all([read(), read()]), [1, 1]);
    assert.equal(made, 2);
    slow.release();
    await until('the newer one is told', async () => (await read()) > 1);
  });

  test('that fails is not covered up by the last one', async () => {
    let fails = false;
    const read = readSparingly(async () => {
      if (fails) throw new Error('away');
      return 1;
    });
    assert.equal(await read(), 1);
    fails = true;
    await until('it is made again', async () => {
      try {
        await read();
        return false;
      } catch (error) {
        return (error as Error).message === 'away';
      }
    });
  });

  test('is made seldom where it takes long', async () => {
    let made = 0;
    const read = readSparingly(async () => {
      made += 1;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return made;
    });
    await read();
    for (let i = 0; i < 20; i += 1) assert.equal(await read(), 1);
    assert.equal(made, 1);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPause } from './pause.ts';

test('a pause ends by itself, or when it is cut; one that begins later is whole again', async () => {
  let [ends, over] = [() => {}, 0];
  const pause = createPause(
    () =>
      new Promise((resolve) => {
        ends = resolve;
      }),
  );
  const count = () => {
    over += 1;
  };
  const first = pause.for(1).then(count);
  ends();
  await first;
  const [second, third] = [pause.for(1).then(count), pause.for(1).then(count)];
  pause.cut();
  await Promise.all([second, third]);
  assert.equal(over, 3);
  const fourth = pause.for(1).then(count);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(over, 3);
  ends();
  await fourth;
});

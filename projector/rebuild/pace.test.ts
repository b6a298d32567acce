import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace, type LiveLag } from './pace.ts';

/** A clock that only sleeping moves; `at` tells what is seen at a time. */
function pace(at: (ms: number) => LiveLag) {
  let ms = 0;
  let looks = 0;
  const made = createPace(
    async () => {
      looks += 1;
      return at(ms);
    },
    () => ms,
    async (pause) => {
      ms += pause;
    },
  );
  const turn = async () => {
    const before = ms;
    const most = await made.turn();
    return { most, waited: ms - before };
  };
  const pass = (pause: number) => {
    ms += pause;
  };
  return { ...made, turn, pass, looks: () => looks };
}

test('a log that nobody writes is folded as fast as it goes, however far behind the served version is', async () => {
  const { turn, isLive } = pace(() => ({ head: 900, position: 0, isLive: false }));
  assert.deepEqual(await turn(), { most: Infinity, waited: 0 });
  assert.equal(await isLive(), false);
});

test('while prompts come in pages are smaller, and what is served goes first, but not what came since', async () => {
  const { turn, isLive } = pace((ms) => ({ head: 100 + ms, position: 80 + ms, isLive: true }));
  assert.deepEqual(await turn(), { most: 500, waited: 20 });
  assert.equal(await isLive(), true);
});

test('one that is up to date is not waited for, and pages that are folded at once need one look', async () => {
  const { turn, looks, pass } = pace(() => ({ head: 100, position: 100, isLive: true }));
  for (let i = 0; i < 10; i += 1) {
    assert.deepEqual(await turn(), { most: 500, waited: 0 });
    pass(10);
  }
  assert.equal(looks(), 2);
});

test('one that is far behind is waited for half a second each page', async () => {
  const { turn, pass } = pace((ms) => ({ head: 9_000, position: ms, isLive: true }));
  for (let i = 0; i < 3; i += 1) {
    assert.deepEqual(await turn(), { most: 500, waited: 500 });
    pass(100);
  }
});

test('one that stands still is waited for once in ten seconds', async () => {
  const { turn, pass } = pace(() => ({ head: 100, position: 7, isLive: true }));
  const waited: number[] = [];
  for (let i = 0; i < 12; i += 1) {
    waited.push((await turn()).waited);
    pass(1_000);
  }
  assert.deepEqual(
    waited.map((ms, i) => (ms > 0 ? i : null)).filter((i) => i !== null),
    [0, 10],
  );
});

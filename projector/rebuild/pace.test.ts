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
    const { mostEvents, oneByOne } = await made.turn();
    assert.equal(oneByOne, mostEvents < Infinity);
    return { most: mostEvents, waited: ms - before };
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

test('one that is far behind is waited for as long as the page before took, and half a second at most', async () => {
  const { turn, pass } = pace((ms) => ({ head: 90_000, position: ms, isLive: true }));
  const waited: number[] = [];
  for (const worked of [100, 200, 3_000, 0]) {
    waited.push((await turn()).waited);
    pass(worked);
  }
  assert.deepEqual(waited, [500, 100, 200, 500]);
});

test('one that stands still is waited for in vain for two seconds, then not for ten', async () => {
  const { turn, pass } = pace(() => ({ head: 100, position: 7, isLive: true }));
  const waited: number[] = [];
  for (let i = 0; i < 15; i += 1) {
    waited.push((await turn()).waited);
    pass(1_000);
  }
  assert.deepEqual(waited, [500, 500, 500, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500, 500]);
});

test('one that moves now and then is waited for all the time', async () => {
  const { turn, pass } = pace((ms) => ({ head: 9_000, position: Math.floor(ms / 700), isLive: true }));
  for (let i = 0; i < 20; i += 1) {
    assert.ok((await turn()).waited > 0, `${i}`);
    pass(100);
  }
});

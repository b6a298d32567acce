/** What a process has met stays so, unless the log itself has lost its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLiveModel, type LiveModelOptions } from './live-model.ts';

const AT = '2026-01-01T00:00:00.000Z';

/** A database whose cursor is what `cursor.at` says. */
function model(cursor: { at: number }, options: LiveModelOptions) {
  const query = async () => ({ rows: [{ version: 1, position: cursor.at, as_of: AT, aside: 0 }] });
  return createLiveModel({ query: query as never }, options);
}

test('a replica that is behind another one takes nothing back', async () => {
  const cursor = { at: 9 };
  const live = model(cursor, { readHead: async () => 9, onRewound: () => assert.fail('the log is whole') });
  await live.refresh();
  cursor.at = 4;
  assert.equal((await live.refresh()).position, 9);
  assert.equal(await live.waitFor(9, 0), true);
});

test('a log that ends before what was seen is another one: what it has not got is waited for', async () => {
  const cursor = { at: 9 };
  let rewound = 0;
  const live = model(cursor, {
    readHead: async () => 6,
    onRewound: () => {
      rewound += 1;
    },
  });
  await live.refresh();
  assert.equal(rewound, 0);
  cursor.at = 4;
  assert.deepEqual([(await live.refresh()).position, rewound], [4, 1]);
  const waited = live.waitFor(7, 10_000);
  cursor.at = 7;
  await live.refresh();
  assert.deepEqual([await waited, rewound], [true, 1]);
});

test('what reads see while the log’s head is asked for does not make the log a shorter one', async () => {
  const cursor = { at: 9 };
  const live = model(cursor, {
    readHead: async () => {
      live.saw(11); // of a head that was read a moment later
      return 10;
    },
    onRewound: () => assert.fail('the log is whole'),
  });
  await live.refresh();
  cursor.at = 8;
  assert.equal((await live.refresh()).position, 11);
});

test('another version is read once it has all that the one before has, or that one is gone', async () => {
  const served = { version: 1 };
  const cursors = new Map([[1, 9]]);
  const query = async ({ name, values = [] }: { name: string; values?: number[] }) => {
    const [now, former] = values.map((version) => cursors.get(version));
    if (name === 'has-all-of') return { rows: former === undefined ? [] : [{ has_all: now! >= former }] };
    return { rows: [{ version: served.version, position: cursors.get(served.version), as_of: AT, aside: 0 }] };
  };
  const live = createLiveModel({ query: query as never });
  await live.refresh();
  served.version = 2;
  cursors.set(2, 9).set(1, 10);
  assert.equal((await live.refresh()).version, 1, 'a read may have seen position 10 there');
  cursors.set(2, 10);
  assert.equal((await live.refresh()).version, 2);
  served.version = 3;
  cursors.set(3, 4).delete(2);
  assert.equal((await live.refresh()).version, 3);
});

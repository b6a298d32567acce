import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Passes } from './ask.ts';
import { pageOf, type Result } from './page.ts';
import { type Measured, overIn, remarksOf } from './table.ts';

const passes = (first: number, again: number, p99 = again, over: Partial<Passes> = {}): Passes => ({
  first: { asked: 20, p50: first, p99: first },
  again: { asked: 20, p50: again, p99 },
  four: { asked: 20, p50: again, p99 },
  refused: new Map(),
  bytes: 100,
  ...over,
});
const measured = (what: string, small: Passes, large: Passes, about: Measured['about'] = 'all'): Measured => ({
  ...{ what, about, small, large },
});
const good = measured('/good', passes(4, 2), passes(8, 4));
const slow = measured('/slow', passes(4, 2), passes(8, 4.1));
const late = measured('/late', passes(4, 2), passes(4, 2, 50.1), 'one');
const cold = measured('/cold', passes(4, 2), passes(60, 2), 'one');

const result: Result = {
  measured: [good, slow, late, cold],
  ...{ small: 10_000, large: 2_000_000, users: 2_000, fewUsers: 10, days: 60, archivedDays: 40, ask: 20 },
  ...{ events: 6_000_000, floor: 4_000_000, seconds: 300, archiveBytes: 4e8, others: 7.25, mostBytes: 7e9 },
  tables: [
    { table: 'prompt_v2', bytes: 4e9 },
    { table: 'event', bytes: 1.6e9 },
    { table: 'user_number_v2', bytes: 1e5 },
  ],
};
const page = pageOf(result, {
  command: 'npm run bench -- reads --write --prompts 2000000',
  date: '2026-01-02',
  machine: 'M',
});

describe('reads of two sizes', () => {
  test('are remarked on when they take over twice as long, or over 50 ms, again or the first time', () => {
    assert.deepEqual(remarksOf(good, 20), []);
    assert.deepEqual(remarksOf(slow, 20), ['over 2 ×']);
    assert.deepEqual(remarksOf(late, 20), ['over 50 ms']);
    assert.deepEqual(remarksOf(cold, 20), ['the first time over 2 × and over 50 ms']);
    assert.deepEqual([overIn('again', result.measured), overIn('first', result.measured)], [[slow, late], [cold]]);
  });

  test('are remarked on when they were not all asked, answered otherwise, or with more', () => {
    const other = passes(4, 2, 2, { refused: new Map([[500, 3]]), bytes: 250 });
    assert.deepEqual(remarksOf(measured('/x', passes(4, 2), other), 21), [
      'only 20 asked',
      '2.5 × the bytes',
      '3 times 500',
    ]);
  });
});

describe('the page of a run', () => {
  test('has its date, its machine, its sizes, and the command that gives it again', () => {
    assert.match(page, /on 2026-01-02: M\./);
    assert.match(page, /when this began, 7\.3 other processes were at work/);
    assert.match(page, /To have it again: `npm run bench -- reads --prompts 2000000`, in a clone/);
    assert.match(
      page,
      /2,000,000 prompts, 6,000,000 events, 4,000,000 of them archived: 6\.0 GB, at most 7\.0 GB on the way/,
    );
    assert.match(
      page,
      /loaded in 300 s \(150 s a million prompts\)\.\n4 kinds of reads: 2 over 2 × or 50 ms, 1 the first time\./,
    );
  });

  test('has each kind beside the log that it is compared with', () => {
    const [, everybody, one] = page.split(/^## /m);
    assert.match(everybody!, /^Over everybody, beside 10,000 prompts of 2,000 users\n/);
    assert.match(one!, /^About one user, prompt or conversation, beside 10,000 prompts of 10 users\n/);
    assert.deepEqual(
      [good, slow, late, cold].map(({ what }) => everybody!.includes(`| ${what} |`)),
      [true, true, false, false],
    );
    assert.match(
      one!,
      /\| \/cold \| 2\.0 \/ 2\.0 \| 2\.0 \/ 2\.0 \| 1\.00 × \| 4\.0 \/ 4\.0 \| 60\.0 \/ 60\.0 \| 15\.00 × \|/,
    );
  });

  test('tells bytes a prompt of each large table, of the archive and of all', () => {
    assert.match(
      page,
      /\| prompt_v2 \| 2,000 \| 4\.0 GB \|\n\| event \| 800 \| 1\.6 GB \|\n\| archive, as files \| 200 \| 0\.40 GB \|/,
    );
    assert.match(page, /\| all others \| 0 \| 0\.00 GB \|\n\| \*\*all\*\* \| 3,000 \| 6\.0 GB \|/);
  });
});

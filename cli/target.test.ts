import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printable } from './printable.ts';
import { CliError, placeOf, timeOf } from './target.ts';

describe('a place in the log', () => {
  for (const [text, place] of [
    ['4000', { position: 4000 }],
    ['2026-11-23T10:00:00Z', { time: '2026-11-23T10:00:00.000Z' }],
    ['2026-11-23T10:00:00.25+01:30', { time: '2026-11-23T08:30:00.250Z' }],
    ['2026-11-23', { time: '2026-11-23T00:00:00.000Z' }],
  ] as const)
    test(`may be ${text}`, () => assert.deepEqual(placeOf('--before', text), place));

  // `Date` makes years of most of these.
  for (const text of [
    '',
    '5000 ',
    ' 5000',
    '-5',
    '4000-1',
    'position 4000',
    'event #9000',
    '2026-11-27 10:00',
    '2026-02-30',
    '1e3',
  ])
    test(`is not "${text}"`, () => {
      assert.throws(
        () => placeOf('--before', text),
        (error) => error instanceof CliError && error.message.startsWith(`--before ${text} is neither`),
      );
      assert.equal(timeOf(text), null);
    });
});

test('foreign text is one line, read in one direction, and no code of a terminal', () => {
  assert.equal(
    printable('a\n\u001b[31m\u009b\u202eb\u2066\u200f\u2028'),
    'a\\n\\u001b[31m\\u009b\\u202eb\\u2066\\u200f\\u2028',
  );
  assert.equal(printable('Ärger “日本” שלום'), 'Ärger “日本” שלום');
});

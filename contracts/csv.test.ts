import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { csvRow } from './csv.ts';

describe('a row of CSV', () => {
  for (const [what, value, cell] of [
    ['quotes and commas', 'a "b", c', '"a ""b"", c"'],
    ['a line break', 'a\r\nb', '"a\r\nb"'],
    ['a formula', '=1', "'=1"],
    ['a formula with quotes', '=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'],
    ['a plus', '+1', "'+1"],
    ['a minus', '-2+3', "'-2+3"],
    ['a command', '@SUM(1)', "'@SUM(1)"],
    ['a tab before a formula', '\t=1', "'\t=1"],
    ['a carriage return before a formula', '\r=1', '"\'\r=1"'],
    ['a line feed before a formula', '\n=1', '"\'\n=1"'],
    ['a wide sign', '＝1', "'＝1"],
    ['a sign that is not the first', 'a=1', 'a=1'],
    ['a number below zero, which is one', -2, '-2'],
    ['a sum beyond what a number holds', -(2n ** 53n + 1n), '-9007199254740993'],
    ['a truth', false, 'false'],
    ['nothing', null, ''],
    ['what is not there', undefined, ''],
  ] as const) {
    test(`of ${what} is (${JSON.stringify(cell)}), and ends with CRLF`, () => {
      assert.equal(csvRow([value, 1]), `${cell},1\r\n`);
    });
  }
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ModelStats, UserStats } from '../../contracts/http/queries.ts';
import { columnsOf, toCsv, wantsCsv } from './csv.ts';

describe('CSV', () => {
  test('names its columns after the fields of the answer', () => {
    assert.equal(
      toCsv(columnsOf(ModelStats), []),
      'model,prompts,users,share,inputTokens,outputTokens,thoughtTokens,costNanoUsd,costUsd,notionalNanoUsd,notionalUsd\r\n',
    );
    assert.ok(columnsOf(UserStats).some(({ name }) => name === 'costUnknownBoundNanoUsd'));
  });

  const columns = [
    { name: 'a', path: ['a'] },
    { name: 'b', path: ['b'] },
  ];
  for (const [what, value, cell] of [
    ['quotes and commas', 'a "b", c', '"a ""b"", c"'],
    ['a line break', 'a\r\nb', '"a\r\nb"'],
    ['a formula', '=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'],
    ['a command', '@SUM(1)', "'@SUM(1)"],
    ['a sign', '-2+3', "'-2+3"],
    ['a tab before a formula', '\t=1', "'\t=1"],
    ['a wide sign', '＝1', "'＝1"],
    ['a number below zero, which is one', -2, '-2'],
    ['nothing', null, ''],
  ] as const) {
    test(`of ${what} is (${cell})`, () => {
      assert.equal(toCsv(columns, [{ a: value, b: 1 }]), `a,b\r\n${cell},1\r\n`);
    });
  }
});

describe('the form of an answer', () => {
  for (const [format, accept, csv] of [
    [undefined, undefined, false],
    [undefined, '*/*', false],
    [undefined, 'text/csv', true],
    [undefined, 'text/csv, */*;q=0.1', true],
    [undefined, 'application/json, text/csv', false],
    [undefined, 'application/json;q=0.5, text/csv', true],
    [undefined, 'text/csv;q=0', false],
    [undefined, 'text/csv;q=0.2, */*;q=0.8', false],
    ['csv', 'application/json', true],
    ['json', 'text/csv', false],
  ] as const) {
    test(`for format ${format} and Accept ${accept} is ${csv ? 'CSV' : 'JSON'}`, () => {
      assert.equal(wantsCsv(format, accept), csv);
    });
  }
});

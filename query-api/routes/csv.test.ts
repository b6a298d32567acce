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

  test('has a row for each, where what is missing is an empty cell and a name is no formula', () => {
    const columns = [
      { name: 'a', path: ['a'] },
      { name: 'bC', path: ['b', 'c'] },
    ];
    assert.equal(
      toCsv(columns, [
        { a: '=1', b: { c: 2 } },
        { a: 'x', b: null },
      ]),
      "a,bC\r\n'=1,2\r\nx,\r\n",
    );
  });
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

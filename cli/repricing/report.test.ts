import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settleAttempt, startAttempt } from '../../contracts/prompt/decide.ts';
import { apply, given, submitted } from '../../contracts/prompt/spec.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { asCsv, asJson, asTable, type Report } from './report.ts';
import { createTally, totalOf } from './tally.ts';

const budget = { maxAttempts: 9, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 };
function prompt(userId: string, nanoUsd: number | null, emulated = false) {
  const state = given(submitted({ userId, model: 'm' }));
  const started = apply(state, startAttempt(state, { token: 't', worker: 'w' }));
  const charge = { usage: null, rawUsage: null, nanoUsd, boundNanoUsd: null, priceVersion: 'p@1', emulated };
  const answer = { answer: '', encoding: 'plain', finishReason: 'STOP', truncated: false, modelVersion: null } as const;
  return apply(
    started,
    settleAttempt(started, { attempt: 1, token: 't', charge, end: 'completed', ...answer }, budget),
  );
}
const most = Number.MAX_SAFE_INTEGER;

type Pair = [asCharged: PromptState, rerated: PromptState, corrected?: number[]];
function reportOf(...pairs: Pair[]): Report {
  const tally = createTally();
  for (const [asCharged, rerated, corrected = []] of pairs)
    tally.add({ asCharged, rerated, corrected: new Set(corrected) });
  const at = { position: 9, asOf: '2026-01-01T00:00:09.000Z' };
  return { ...at, rows: tally.rows(), versions: tally.versions(), priceVersion: 'p@2', whatIf: [] };
}

describe('a report', () => {
  const report = reportOf(
    [prompt('zoe', 5, true), prompt('zoe', 6, true)],
    [prompt('a,"b"', most), prompt('a,"b"', null)],
    [prompt('a,"b"', most), prompt('a,"b"', most)],
    [prompt('\u001b[2J', null), prompt('\u001b[2J', 3)],
  );

  test('has a row for each user and model, what is notional apart and last', () => {
    assert.deepEqual(
      report.rows.map(({ userId, notional, prompts, attempts }) => [userId, notional, prompts, attempts]),
      [
        ['\u001b[2J', false, 1, 1],
        ['a,"b"', false, 2, 2],
        ['zoe', true, 1, 1],
      ],
    );
    assert.deepEqual(report.versions, [{ priceVersion: 'p@1', attempts: 3 }]);
  });

  test('is exact beyond what a number holds, and counts what is unknown', () => {
    const { asCharged, rerated } = totalOf(report.rows.filter(({ notional }) => !notional));
    assert.deepEqual([asCharged.confirmed, asCharged.unknown, asCharged.unbounded], [2n * BigInt(most), 1, 1]);
    assert.deepEqual([rerated.confirmed, rerated.unknown, rerated.unbounded], [BigInt(most) + 3n, 1, 1]);
    const json = JSON.parse(asJson(report));
    assert.equal(json.total.asCharged.confirmed.usd, '18014398.509481982');
    assert.equal(json.total.difference.usd, '-9007199.254740988');
    assert.equal(json.notionalTotal.difference.nanoUsd, 1);
  });

  test('as CSV quotes what would break a line, as a table shows nothing that a terminal would obey', () => {
    assert.match(asCsv(report), /\r\n"a,""b""",m,false,2,2,18014398509481982,0,0,0,0,9007199254740991,0,0,1,1,0,0\r\n/);
    const table = asTable(report, false);
    assert.ok(table.includes('\\u001b[2J') && !table.includes('\u001b'));
    assert.match(table, /1 \(1 without a bound\)/);
    assert.match(table, /emulated: nobody is charged/);
  });

  test('as CSV has no cell that a spreadsheet would take for a formula, and ends every row with CRLF', () => {
    const users = ['=1', '+1', '-1', '@SUM(1)', '\t=1', '\r=1'];
    const rows = asCsv(reportOf(...users.map((user): Pair => [prompt(user, 5), prompt(user, 6)]))).split('\r\n');
    assert.equal(rows.pop(), '');
    assert.deepEqual(
      rows.slice(1).map((row) => row.slice(0, row.indexOf(',m,'))),
      ["'\t=1", '"\'\r=1"', "'+1", "'-1", "'=1", "'@SUM(1)"],
    );
  });

  test('counts corrected attempts that are rated by their tokens, and those that stay unknown', () => {
    const anew = (state: PromptState): PromptState => ({
      ...state,
      attempts: state.attempts.map((attempt) => ({ ...attempt, ratedAnew: true })),
    });
    const corrected = reportOf(
      [prompt('ada', 7), anew(prompt('ada', 5)), [1]],
      [prompt('ada', 7), anew(prompt('ada', 5)), [1]],
      [prompt('ada', 7), anew(prompt('ada', null)), [1]],
      [prompt('ada', 7), anew(prompt('ada', 5))],
      [prompt('ada', 7), prompt('ada', 7), [1]], // at these very prices: the correction counts
      [prompt('zoe', 7), anew(prompt('zoe', 5)), [1]],
    );
    assert.deepEqual(
      corrected.rows.map((row) => row.corrected),
      [
        { ratedByTokens: 2, unknown: 1 },
        { ratedByTokens: 1, unknown: 0 },
      ],
    );
    assert.deepEqual(JSON.parse(asJson(corrected)).total.corrected, { ratedByTokens: 3, unknown: 1 });
    assert.match(asCsv(corrected), /,correctedRatedByTokens,correctedUnknown\r\nada,.*,2,1\r\nzoe,.*,1,0\r\n$/);
    assert.match(asTable(corrected, false), /^corrected attempts: 3 rated by their tokens, 1 unknown;/m);
    assert.doesNotMatch(asTable(report, false), /corrected/);
  });

  test('of nothing is a total of nothing', () => {
    assert.match(asTable(reportOf(), false), /as charged: nothing\n[\s\S]*│ total │/);
    assert.deepEqual(JSON.parse(asJson(reportOf())).data, []);
  });
});

/** A re-rating as a table to read, as JSON, and as CSV. */
import Table from 'cli-table3';
import { csvRow } from '../../contracts/csv.ts';
import { amount, usd } from '../../contracts/money.ts';
import { printable } from '../printable.ts';
import type { Rerated } from './rerate-log.ts';
import { type Both, type Row, type Sums, totalOf } from './tally.ts';
import type { Swap } from './what-if.ts';

export type Report = Rerated & {
  /** The book that re-rated. */
  priceVersion: string;
  whatIf: Swap[];
};

const charged = (report: Report): Row[] => report.rows.filter(({ notional }) => !notional);
const notional = (report: Report): Row[] => report.rows.filter((row) => row.notional);

export function asJson(report: Report): string {
  const { position, asOf, versions, priceVersion, whatIf } = report;
  const shown = {
    position,
    asOf,
    asCharged: versions,
    rerated: { priceVersion, whatIf },
    data: report.rows.map((row) => ({
      userId: row.userId,
      model: row.model,
      notional: row.notional,
      ...bothShown(row),
    })),
    total: bothShown(totalOf(charged(report))),
    notionalTotal: bothShown(totalOf(notional(report))),
  };
  return JSON.stringify(shown, null, 2);
}

const bothShown = ({ prompts, attempts, asCharged, rerated, corrected }: Both) => ({
  prompts,
  attempts,
  asCharged: sumsShown(asCharged),
  rerated: sumsShown(rerated),
  /** Of known costs. */
  difference: amount(known(rerated) - known(asCharged)),
  corrected,
});
const known = ({ confirmed, wasted }: Sums): bigint => confirmed + wasted;
const sumsShown = (sums: Sums) => ({
  confirmed: amount(sums.confirmed),
  wasted: amount(sums.wasted),
  unknownBound: amount(sums.unknownBound),
  unknownAttempts: sums.unknown,
  unboundedAttempts: sums.unbounded,
});

const SUMS = ['ConfirmedNanoUsd', 'WastedNanoUsd', 'UnknownBoundNanoUsd', 'UnknownAttempts', 'UnboundedAttempts'];

/** A row for each user and model; amounts in nano-USD. */
export function asCsv(report: Report): string {
  const head = ['userId', 'model', 'notional', 'prompts', 'attempts'];
  const lines = report.rows.map((row) => [
    row.userId,
    row.model,
    row.notional,
    row.prompts,
    row.attempts,
    ...sumsInOrder(row.asCharged),
    ...sumsInOrder(row.rerated),
    row.corrected.ratedByTokens,
    row.corrected.unknown,
  ]);
  const names = ['charged', 'rerated'].flatMap((which) => SUMS.map((name) => which + name));
  return [[...head, ...names, 'correctedRatedByTokens', 'correctedUnknown'], ...lines].map(csvRow).join('');
}

const sumsInOrder = ({ confirmed, wasted, unknownBound, unknown, unbounded }: Sums) => [
  confirmed,
  wasted,
  unknownBound,
  unknown,
  unbounded,
];

export function asTable(report: Report, coloured: boolean): string {
  const word = report.whatIf.length > 0 ? 'what-if' : 're-rated';
  const table = new Table({
    ...(coloured ? {} : { style: { head: [], border: [] } }),
    head: ['user', 'model', 'prompts', 'attempts', '', 'confirmed USD', 'wasted USD', 'unknown', 'at most USD'],
    colAligns: ['left', 'left', 'right', 'right', 'left', 'right', 'right', 'right', 'right'],
  });
  const put = (user: string, model: string, both: Both) => {
    const three = [cells(both.asCharged), cells(both.rerated), differences(both)];
    const columns = three[0]!.map((_, i) => three.map((line) => line[i]).join('\n'));
    table.push([user, model, both.prompts, both.attempts, ['as charged', word, 'difference'].join('\n'), ...columns]);
  };
  for (const row of report.rows)
    put(printable(row.userId), printable(row.model) + (row.notional ? ' (emulated)' : ''), row);
  const [real, emulated] = [charged(report), notional(report)];
  if (real.length > 0 || emulated.length === 0) put('total', '', totalOf(real));
  if (emulated.length > 0) put('total', 'emulated: nobody is charged', totalOf(emulated));
  return `${heading(report, word)}\n\n${table}`;
}

function heading({ position, asOf, rows, versions, priceVersion, whatIf }: Report, word: string): string {
  const swaps = whatIf.map(({ from, to }) => `${from ?? 'every other model'} as ${to}`).join(', ');
  const under = versions.map((one) => `${printable(one.priceVersion)} (${one.attempts} attempts)`).join(', ');
  return [
    `The log up to position ${position}${asOf ? `, ${asOf}` : ''}; nothing was changed.`,
    `as charged: ${under || 'nothing'}`,
    `${word}: ${priceVersion}${swaps ? `, ${swaps}` : ''}`,
    ...correctedText(totalOf(rows)),
  ].join('\n');
}

function correctedText({ corrected: { ratedByTokens, unknown } }: Both): string[] {
  if (ratedByTokens + unknown === 0) return [];
  return [
    `corrected attempts: ${ratedByTokens} rated by their tokens, ${unknown} unknown; bills are of what was charged`,
  ];
}

const cells = (sums: Sums): string[] => [
  usd(sums.confirmed),
  usd(sums.wasted),
  sums.unbounded > 0 ? `${sums.unknown} (${sums.unbounded} without a bound)` : String(sums.unknown),
  usd(sums.unknownBound),
];

function differences({ asCharged, rerated }: Both): string[] {
  const signed = (now: bigint, before: bigint) => `${now > before ? '+' : ''}${usd(now - before)}`;
  const unknown = rerated.unknown - asCharged.unknown;
  return [
    signed(rerated.confirmed, asCharged.confirmed),
    signed(rerated.wasted, asCharged.wasted),
    `${unknown > 0 ? '+' : ''}${unknown}`,
    signed(rerated.unknownBound, asCharged.unknownBound),
  ];
}

/**
 * Sums of what prompts add to them and what is taken off: the difference that a batch makes, or that lies between now and
 * a place in the log.
 */
import { type Contribution, type Measures, measures, noSums, statuses, type UsageKey } from './contribution.ts';
import { pack, sumOfBins, takesBins } from './histogram.ts';

/** `bins`: see histogram.ts. */
export type UsageDelta = UsageKey & Measures & { bins: number[] };

export function createDeltas() {
  const rows = new Map<string, UsageDelta>();
  let isSummed = true;

  /** Of times only what is added and taken is noted before. */
  function summed(): UsageDelta[] {
    if (!isSummed) for (const row of rows.values()) if (row.bins.length > 0) row.bins = sumOfBins(row.bins);
    isSummed = true;
    return [...rows.values()];
  }

  return {
    add: (contributions: Contribution[], sign: 1 | -1): void => {
      isSummed = false;
      for (const { key, sums, bins } of contributions) {
        const text = textOf(key);
        let row = rows.get(text);
        if (!row) {
          row = { ...key, ...noSums(), bins: [] };
          rows.set(text, row);
        }
        for (const name of measures) row[name] += sign * sums[name];
        for (const code of bins) row.bins.push(pack(code, sign));
      }
    },
    // A row that changed by nothing is not written; that keeps replayed batches from making empty rows.
    usage: (): UsageDelta[] =>
      sorted(
        summed().filter((row) => row.bins.length > 0 || measures.some((name) => row[name] !== 0)),
        textOf,
      ),
    /** Keys of rows that may have no prompt, or nothing at all, any more: sums are never negative. */
    emptied: (): UsageKey[] => {
      const onlyTaken = (row: UsageDelta, names: readonly (keyof Measures)[]) =>
        names.some((name) => row[name] < 0) && names.every((name) => row[name] <= 0);
      const taken = summed().filter(
        (row) => onlyTaken(row, statuses) || onlyTaken(row, measures) || takesBins(row.bins),
      );
      return sorted(
        taken.map(({ bucket, user_id, model, emulated }) => ({ bucket, user_id, model, emulated })),
        textOf,
      );
    },
  };
}

/** The same of all users together: a user without a name. */
export function overAllUsers(rows: readonly UsageDelta[]): UsageDelta[] {
  const sums = new Map<string, UsageDelta>();
  for (const { bucket, model, emulated, bins, ...own } of rows) {
    const key = { bucket, user_id: '', model, emulated };
    const text = textOf(key);
    const sum = sums.get(text) ?? { ...key, ...noSums(), bins: [] };
    sums.set(text, sum);
    for (const name of measures) sum[name] += own[name];
    sum.bins.push(...bins);
  }
  return [...sums.values()].map((row) => ({ ...row, bins: sumOfBins(row.bins) }));
}

/** No two keys have the same: a bucket's is as long as any other's. */
const textOf = ({ bucket, user_id, model, emulated }: UsageKey): string =>
  `${bucket}${emulated ? 1 : 0}${model.length} ${model}${user_id}`;

/** In key order: two writers lock rows in the same order. */
export function sorted<T>(rows: T[], key: (row: T) => string): T[] {
  return rows
    .map((row) => ({ row, key: key(row) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
}

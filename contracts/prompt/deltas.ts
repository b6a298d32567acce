/**
 * Sums of what prompts add to them and what is taken off: the difference that a batch makes, or that lies between now and
 * a place in the log.
 */
import {
  type Contribution,
  type LatencyMeasure,
  type Measures,
  measures,
  statuses,
  type UsageKey,
} from './contribution.ts';

export type UsageDelta = UsageKey & Measures;
export type LatencyDelta = UsageKey & { measure: LatencyMeasure; bin: number; n: number };

export function createDeltas() {
  const usage = new Map<string, UsageDelta>();
  const latencies = new Map<string, LatencyDelta>();
  const textOf = ({ bucket, user_id, model, emulated }: UsageKey) => JSON.stringify([bucket, user_id, model, emulated]);
  return {
    add: (contributions: Contribution[], sign: 1 | -1): void => {
      for (const { key, sums, latencies: bins } of contributions) {
        const text = textOf(key);
        const row =
          usage.get(text) ?? ({ ...key, ...Object.fromEntries(measures.map((name) => [name, 0])) } as UsageDelta);
        for (const name of measures) row[name] += sign * sums[name];
        usage.set(text, row);
        for (const { measure, bin } of bins) {
          const at = `${text}${measure}/${bin}`;
          const latency = latencies.get(at) ?? { ...key, measure, bin, n: 0 };
          latency.n += sign;
          latencies.set(at, latency);
        }
      }
    },
    // A row that changed by nothing is not written; that keeps replayed batches from making empty rows.
    usage: (): UsageDelta[] =>
      sorted(
        [...usage.values()].filter((row) => measures.some((name) => row[name] !== 0)),
        textOf,
      ),
    /** Keys of rows that may have no prompt, or nothing at all, any more: sums are never negative. */
    emptied: (): UsageKey[] => {
      const onlyTaken = (row: UsageDelta, names: readonly (keyof Measures)[]) =>
        names.some((name) => row[name] < 0) && names.every((name) => row[name] <= 0);
      const taken = [...usage.values(), ...latencies.values()].filter((row) =>
        'n' in row ? row.n < 0 : onlyTaken(row, statuses) || onlyTaken(row, measures),
      );
      const keys = new Map(
        taken.map(({ bucket, user_id, model, emulated }) => {
          const key = { bucket, user_id, model, emulated };
          return [textOf(key), key];
        }),
      );
      return sorted([...keys.values()], textOf);
    },
    latencies: (): LatencyDelta[] =>
      sorted(
        [...latencies.values()].filter((row) => row.n !== 0),
        (row) => `${textOf(row)}${row.measure}/${row.bin}`,
      ),
  };
}

/** In key order: two writers lock rows in the same order. */
export function sorted<T>(rows: T[], key: (row: T) => string): T[] {
  return rows
    .map((row) => ({ row, key: key(row) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
}

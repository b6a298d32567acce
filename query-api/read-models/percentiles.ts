/** Percentiles of times, from their histogram. */
import { middleOf } from '../../contracts/prompt/histogram.ts';

export type Bin = { bin: number; n: number };

/** Milliseconds, the geometric middle of the bin that holds the percentile: at most 2.5 % off. Null for no samples. */
export function percentile(bins: Bin[], share: number): number | null {
  const total = bins.reduce((sum, { n }) => sum + n, 0);
  if (total === 0) return null;
  // Nearest rank: the smallest value that `share` of all samples do not exceed.
  const rank = Math.max(1, Math.ceil(share * total));
  let passed = 0;
  for (const { bin, n } of bins.toSorted((a, b) => a.bin - b.bin)) {
    passed += n;
    if (passed >= rank) return Math.round(middleOf(bin) * 100) / 100;
  }
  return null;
}

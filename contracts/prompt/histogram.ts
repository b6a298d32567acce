/**
 * Histograms of times that add up. Bin n covers [1.05ⁿ, 1.05ⁿ⁺¹) milliseconds, so that a percentile read from it is within
 * 5 %. A measure and a bin of it are one code; a code and how many there are of it are one number. Rows of sums hold an array
 * of these, upwards by code; `bins_sum_v1` of migrations/20_packed_tables.sql adds such arrays up, as `sumOfBins` does.
 */
export const timeMeasures = ['queue_wait', 'model_time', 'total'] as const;
export type TimeMeasure = (typeof timeMeasures)[number];

const GROWTH = 1.05;
/** Of a measure: bin 1023 is longer than any time. */
const BINS = 1024;
/** Of all measures. */
const CODES = 4096;

/** Everything under a millisecond is in bin 0. */
export const binOf = (ms: number): number => (ms < 1 ? 0 : Math.floor(Math.log(ms) / Math.log(GROWTH)));
/** Milliseconds, the geometric middle of a bin. */
export const middleOf = (bin: number): number => GROWTH ** (bin + 0.5);

export const codeOf = (measure: TimeMeasure, bin: number): number => timeMeasures.indexOf(measure) * BINS + bin;
export const measureOf = (code: number): TimeMeasure => timeMeasures[Math.floor(code / BINS)]!;
export const binOfCode = (code: number): number => code % BINS;

/** `n` of one code: also negative, where they are taken off. */
export const pack = (code: number, n: number): number => n * CODES + code;
const codeIn = (packed: number): number => ((packed % CODES) + CODES) % CODES;

/** Upwards by code, each once, without those of which there are none. */
export function sumOfBins(packed: readonly number[]): number[] {
  const sums: number[] = [];
  for (const one of packed.toSorted((a, b) => codeIn(a) - codeIn(b))) {
    const last = sums.at(-1);
    const code = codeIn(one);
    if (last !== undefined && codeIn(last) === code) sums[sums.length - 1] = last + one - code;
    else sums.push(one);
  }
  return sums.filter((one) => one !== codeIn(one));
}

/** Whether more are taken off than there are added, of any code. */
export const takesBins = (summed: readonly number[]): boolean => summed.some((one) => one < 0);

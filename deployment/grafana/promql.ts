/** Pieces of PromQL that several panels have. */
const EVERY = '$__rate_interval';

/** Per second, summed by these labels. */
export const rate = (metric: string, by = '', over = EVERY): string =>
  `sum${by && ` by (${by})`} (rate(${metric}[${over}]))`;

/** Of a histogram: `q` of 0..1, by these labels. */
export const quantile = (q: number, histogram: string, filter = '', by = '', over = EVERY): string =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${histogram}_bucket${filter && `{${filter}}`}[${over}])))`;

/** `numerator` of `denominator`; nothing at all of something is 0. */
export const ratio = (numerator: string, denominator: string): string => `(${numerator} or vector(0)) / ${denominator}`;

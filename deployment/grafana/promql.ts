/** Pieces of PromQL that several panels have. */
const EVERY = '$__rate_interval';
/** A label that our services put on all that they tell: one Prometheus may scrape many others. */
const SCOPE = 'application="prompt-orchestrator"';

/** The same metric of our application alone. `metric`: its name, with or without `{matchers}`. */
export function ours(metric: string): string {
  const [name, matchers = ''] = metric.split(/[{}]/);
  return `${name}{${SCOPE}${matchers && `, ${matchers}`}}`;
}

/** Per second, summed by these labels. */
export const rate = (metric: string, by = '', over = EVERY): string =>
  `sum${by && ` by (${by})`} (rate(${ours(metric)}[${over}]))`;

/** Of a histogram: `q` of 0..1, by these labels. */
export const quantile = (q: number, histogram: string, filter = '', by = '', over = EVERY): string =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${ours(`${histogram}_bucket{${filter}}`)}[${over}])))`;

/** `numerator` of `denominator`; nothing at all of something is 0. */
export const ratio = (numerator: string, denominator: string): string => `(${numerator} or vector(0)) / ${denominator}`;

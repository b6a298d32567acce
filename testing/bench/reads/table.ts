/** How reads at two sizes are told, with what exceeds the goals marked. */
import type { Passes, Times } from './ask.ts';

export type Measured = { what: string; small: Passes; large: Passes };

/** Of medians, asked again; and of what is asked again in the large log, milliseconds. */
export const GOALS = { ratio: 2, p99Ms: 50 };

const ms = ({ p50, p99 }: Times) => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
export const ratioOf = ({ small, large }: Measured): number => large.again.p50 / small.again.p50;

export function remarksOf(measured: Measured, ask: number): string[] {
  const { small, large } = measured;
  const refused = [...small.refused, ...large.refused].map(([status, n]) => `${n} times ${status}`);
  const asked = Math.min(large.first.asked, large.again.asked, large.four.asked);
  return [
    ...(ratioOf(measured) > GOALS.ratio ? [`over ${GOALS.ratio} ×`] : []),
    ...(large.again.p99 > GOALS.p99Ms ? [`over ${GOALS.p99Ms} ms`] : []),
    ...(asked < ask ? [`only ${asked} asked`] : []),
    ...(large.bytes > 2 * small.bytes ? [`${(large.bytes / small.bytes).toFixed(1)} × the bytes`] : []),
    ...refused,
  ];
}

export function tableOf(
  all: readonly Measured[],
  { small, large, ask }: { small: number; large: number; ask: number },
): string {
  const count = (n: number) => n.toLocaleString('en');
  const rows = all.map((measured) => {
    const cells = [
      measured.what,
      ms(measured.small.again),
      ms(measured.large.again),
      `${ratioOf(measured).toFixed(2)} ×`,
      ms(measured.large.first),
      ms(measured.small.four),
      ms(measured.large.four),
      remarksOf(measured, ask).join(', '),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `| GET, p50 / p99 in ms | ${count(small)} prompts | ${count(large)} | ratio of p50 | the same, first time | four at once, ${count(small)} | ${count(large)} | |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}`;
}

/** How reads at two sizes are told, with what exceeds the goals marked. */
import type { Passes, Times } from './ask.ts';
import type { Question } from './questions.ts';

export type Measured = Pick<Question, 'what' | 'about'> & { small: Passes; large: Passes };

/** Of medians; and of the large log, milliseconds. */
export const GOALS = { ratio: 2, p99Ms: 50 };

type Pass = 'first' | 'again';

const ms = ({ p50, p99 }: Times) => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
export const ratioOf = ({ small, large }: Measured, pass: Pass): number => large[pass].p50 / small[pass].p50;

function over(measured: Measured, pass: Pass): string[] {
  return [
    ...(ratioOf(measured, pass) > GOALS.ratio ? [`over ${GOALS.ratio} ×`] : []),
    ...(measured.large[pass].p99 > GOALS.p99Ms ? [`over ${GOALS.p99Ms} ms`] : []),
  ];
}

/** Kinds that exceed a goal in a pass. */
export const overIn = (pass: Pass, all: readonly Measured[]): Measured[] =>
  all.filter((measured) => over(measured, pass).length > 0);

export function remarksOf(measured: Measured, ask: number): string[] {
  const { small, large } = measured;
  const refused = [...small.refused, ...large.refused].map(([status, n]) => `${n} times ${status}`);
  const asked = Math.min(large.first.asked, large.again.asked, large.four.asked);
  const first = over(measured, 'first');
  return [
    ...over(measured, 'again'),
    ...(first.length > 0 ? [`the first time ${first.join(' and ')}`] : []),
    ...(asked < ask ? [`only ${asked} asked`] : []),
    ...(large.bytes > 2 * small.bytes ? [`${(large.bytes / small.bytes).toFixed(1)} × the bytes`] : []),
    ...refused,
  ];
}

export const count = (n: number): string => n.toLocaleString('en');

export function tableOf(
  all: readonly Measured[],
  { small, large, ask }: { small: number; large: number; ask: number },
): string {
  const rows = all.map((measured) => {
    const { what, small: of, large: than } = measured;
    const ratio = (pass: Pass) => `${ratioOf(measured, pass).toFixed(2)} ×`;
    const cells = [
      what,
      ...[ms(of.again), ms(than.again), ratio('again')],
      ...[ms(of.first), ms(than.first), ratio('first')],
      ...[ms(of.four), ms(than.four)],
      remarksOf(measured, ask).join(', '),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const sizes = [count(small), count(large)];
  const head = [
    'GET, p50 / p99 in ms',
    ...[`${sizes[0]} prompts`, sizes[1], 'ratio of p50'],
    ...[`the first time, ${sizes[0]}`, sizes[1], 'ratio'],
    ...[`four at once, ${sizes[0]}`, sizes[1]],
    'remarks',
  ];
  return `| ${head.join(' | ')} |\n|${head.map(() => '---|').join('')}\n${rows.join('\n')}`;
}

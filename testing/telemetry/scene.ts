/** What the checks of a run share: the system, Prometheus, and who writes down what holds. */
import { until } from '../kit/until.ts';
import type { Prometheus } from './prometheus.ts';
import type { System } from './system.ts';

export type Expect = (what: string, holds: boolean, detail?: string) => void;
export type Scene = { system: System; prometheus: Prometheus; expect: Expect };

/** Waits until the value of `expression` is as it should be, and writes down what it came to. */
export async function reaches(
  { prometheus, expect }: Pick<Scene, 'prometheus' | 'expect'>,
  what: string,
  expression: string,
  holds: (value: number) => boolean,
  withinMs = 8_000,
): Promise<void> {
  let value = Number.NaN;
  const reached = await until(
    what,
    async () => {
      value = await prometheus.value(expression);
      return holds(value);
    },
    withinMs,
  ).catch(() => false);
  expect(what, reached, `${expression} is ${value}`);
}

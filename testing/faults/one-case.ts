/** A case that needs a fleet of its own, and is no part of the matrix: run, judged and told. */
import type { Case } from './cases/bench.ts';
import type { FleetOptions } from './fleet.ts';
import { runMatrix } from './matrix.ts';
import { report } from './report.ts';

/** `command`: how it is run again. */
export async function passes(one: Case, fleet: Partial<FleetOptions>, command: string): Promise<boolean> {
  const { results, evidence } = await runMatrix({
    seed: 1,
    cases: [one],
    fleet,
    onCase: ({ name, ok, seconds, error }) =>
      console.log(`${ok ? 'ok' : 'FAILED'} ${seconds.toFixed(1)} s ${name} ${error ?? ''}`),
    onStuck: (state) => console.error(state),
  });
  const { text, violations, missing } = report(evidence, command);
  console.log(text);
  return results.every(({ ok }) => ok) && violations.length === 0 && missing.length === 0;
}

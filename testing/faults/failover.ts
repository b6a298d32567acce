/**
 * A standby beside Postgres, as a part of `npm run faults`: a whole server is lost, so its cases have fleets of their own.
 * With synchronous replication nothing may be broken. Without, the end of the log is lost, and the checker must name just
 * what was: it can tell.
 */

import type { Case } from './cases/bench.ts';
import { lossyFailover, standbyCases } from './cases/standby.ts';
import type { InvariantId } from './checker/check.ts';
import { runMatrix } from './matrix.ts';
import { type Report, report } from './report.ts';

/** Of a log that has lost its end: all that does not compare it with what clients and the provider were told. */
const HOLD_ANYWAY: readonly InvariantId[] = ['I2', 'I3', 'I8', 'I9', 'I10', 'I12', 'I13', 'I14'];

async function run(cases: Case[], onStuck: (state: string) => void): Promise<{ told: Report; failures: string[] }> {
  const failures: string[] = [];
  const { results, evidence } = await runMatrix({
    seed: 1,
    cases,
    fleet: { standby: true },
    onCase: ({ name, ok, seconds, error }) => {
      if (ok) console.log(`ok ${seconds.toFixed(1)} s ${name}`);
      else failures.push(`${name}: ${error}`);
    },
    onStuck,
  });
  const told = report(evidence, 'npm run faults -- standby');
  failures.push(...told.missing.map((what) => `the standby did not come by ${what}`));
  if (results.length < cases.length) failures.push(`${cases.length - results.length} cases of a standby were not run`);
  return { told, failures };
}

/** What failed, in words; empty: all of it is as it should be. */
export async function runFailovers(onStuck: (state: string) => void): Promise<string[]> {
  const durable = await run(standbyCases(), onStuck);
  console.log(durable.told.text);
  const broken = durable.told.violations.length;
  if (broken > 0) durable.failures.push(`the standby broke ${broken} times`);

  const lost: string[] = [];
  const { told, failures } = await run([lossyFailover((promptIds) => lost.push(...promptIds))], onStuck);
  const named = told.violations.flatMap(({ invariant, promptId }) =>
    invariant === 'I1' && promptId ? [promptId] : [],
  );
  const isNamed = lost.length > 0 && lost.toSorted().join() === [...new Set(named)].sort().join();
  console.log(`the checker named ${new Set(named).size} prompts as lost, ${lost.length} were`);
  const others = told.violations.filter(({ invariant }) => HOLD_ANYWAY.includes(invariant as InvariantId));
  if (!isNamed || others.length > 0) console.log(told.text);
  if (!isNamed) failures.push('the checker did not name what was lost');
  if (others.length > 0) failures.push(`a lossy failover broke ${others.length} times what it should not`);
  return [...durable.failures, ...failures];
}

/** Runs mutations and tells which of them the checker condemned. */

import { type Bench, type Case, pause } from './cases/bench.ts';
import { check, type InvariantId } from './checker/check.ts';
import { allCases, runMatrix } from './matrix.ts';
import type { Mutation } from './mutations.ts';
import { copyProject } from './project-copy.ts';

export type MutationResult = {
  name: string;
  named: string[];
  condemned: boolean;
  seconds: number;
  /** Cases that did not end as they should: of a mutation that was let pass, what else to know. */
  failed: string[];
};

const load: Case = {
  name: 'load',
  run: async (bench: Bench) => {
    const running = bench.clients.load(60);
    await pause(6_000);
    await running.stop();
    await bench.clean();
  },
};

function casesOf(mutation: Mutation): Case[] {
  const known = [...allCases(), load];
  return mutation.cases.map((prefix) => {
    const found = known.find(({ name }) => name.startsWith(prefix));
    if (!found) throw new Error(`${mutation.name}: there is no case ${prefix}`);
    return found;
  });
}

/** Stuck cases are expected here: what counts is what the checker says at the end. */
export async function runMutation(mutation: Mutation, seed: number): Promise<MutationResult> {
  const begun = performance.now();
  const copy = copyProject(mutation.edits);
  try {
    const { evidence, results } = await runMatrix({
      seed,
      cases: casesOf(mutation),
      fleet: { root: copy.root, ...(mutation.postgresSettings && { postgresSettings: mutation.postgresSettings }) },
      waitMs: 12_000,
      onCase: () => {},
      onStuck: () => {},
    });
    const named = [...new Set(check(evidence).map(({ invariant }) => invariant))];
    const condemned = mutation.expected.some((id: InvariantId) => named.includes(id));
    const failed = results.flatMap(({ name, ok, error }) => (ok ? [] : `${name}: ${error}`));
    return { name: mutation.name, named, condemned, seconds: (performance.now() - begun) / 1000, failed };
  } finally {
    copy.remove();
  }
}

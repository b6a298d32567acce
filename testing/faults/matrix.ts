/** The cases, one after the other on one fleet; each must leave it clean, and the whole history is judged at the end. */
import { acceptCases } from './cases/accept.ts';
import { type Bench, type Case, createBench } from './cases/bench.ts';
import { failPointCases, failPointsInCode } from './cases/fail-points.ts';
import { poisonCases } from './cases/poison.ts';
import { postgresCases } from './cases/postgres.ts';
import { processCases } from './cases/processes.ts';
import { providerCases } from './cases/provider.ts';
import { redisCases } from './cases/redis.ts';
import { spoolCases } from './cases/spool.ts';
import type { Evidence, InjectedFault } from './evidence.ts';
import { type FleetOptions, startFleet } from './fleet.ts';
import { dumpState } from './quiet.ts';
import { conclude, observe } from './run.ts';

export type CaseResult = { name: string; ok: boolean; seconds: number; error: string | null };

export const allCases = (): Case[] => [
  ...failPointCases(failPointsInCode()),
  ...redisCases,
  ...postgresCases,
  ...processCases,
  ...spoolCases,
  ...providerCases,
  ...acceptCases,
  ...poisonCases,
];

export type MatrixOptions = {
  seed: number;
  cases: Iterable<Case> | AsyncIterable<Case>;
  fleet?: Partial<FleetOptions>;
  /** For the system to come to rest at the end. */
  waitMs?: number;
  onCase: (result: CaseResult) => void;
  onStuck: (state: string) => void;
};

const LEASE_SECONDS = 1.5;

export async function runMatrix(options: MatrixOptions): Promise<{ results: CaseResult[]; evidence: Evidence }> {
  const counts = { 'command-api': 2, worker: 2, projector: 1, 'query-api': 1 };
  const fleet = await startFleet({ counts, slots: 30, leaseSeconds: LEASE_SECONDS, ...options.fleet });
  const startedAt = Date.now();
  const observed = observe(fleet, options.seed);
  const faults: InjectedFault[] = [];
  const bench = createBench(fleet, observed.clients, faults, LEASE_SECONDS * 1000);
  const results: CaseResult[] = [];
  try {
    for await (const one of options.cases) {
      const begun = performance.now();
      let error: string | null = null;
      try {
        await one.run(bench);
      } catch (cause) {
        error = cause instanceof Error ? cause.message : String(cause);
        options.onStuck(await dumpState(fleet));
      }
      observed.entries();
      const result = { name: one.name, ok: error === null, seconds: (performance.now() - begun) / 1000, error };
      results.push(result);
      options.onCase(result);
      // The next case starts from a fleet that is whole, or there is none.
      if (error !== null && !(await isWhole(bench))) break;
    }
    const { seed, onStuck, waitMs } = options;
    const evidence = await conclude(observed, {
      plan: { kind: 'matrix', cases: results.length },
      seed,
      startedAt,
      faults,
      onStuck,
      ...(waitMs !== undefined && { waitMs }),
    });
    await fleet.stop(); // whoever does not end with 0 now is in the list, too
    return { results, evidence: { ...evidence, unexpectedExits: fleet.supervisor.unexpectedExits } };
  } finally {
    await fleet.stop();
  }
}

async function isWhole(bench: Bench): Promise<boolean> {
  try {
    await bench.clean();
    return true;
  } catch {
    return false; // told already, by the case
  }
}

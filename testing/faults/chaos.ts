/** A seeded run of everything at once: load, faults of the mix, quiet, evidence. */
import { createRandom } from '../kit/random.ts';
import type { Evidence } from './evidence.ts';
import { type Fleet, type FleetOptions, startFleet } from './fleet.ts';
import { type Mix, releaseNemesis } from './nemesis.ts';
import { conclude, observe } from './run.ts';

export type ChaosOptions = {
  seed: number;
  minutes: number;
  /** Empty: all. */
  mixes: Mix[];
  perSecond: number;
  /** The longest pause between two faults. */
  calmSeconds: number;
  fleet?: Partial<FleetOptions>;
  /** Once a second. */
  onStatus: (status: {
    elapsedSeconds: number;
    asked: number;
    accepted: number;
    faults: number;
    current: string | null;
  }) => void;
  onStuck: (state: string) => void;
};

export type ChaosResult = { evidence: Evidence; exitCodes: Record<string, number | null> };

export const CHAOS_FLEET: FleetOptions = {
  counts: { 'command-api': 2, worker: 2, projector: 1, 'query-api': 1 },
  slots: 40,
  leaseSeconds: 2,
};

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const fleet: Fleet = await startFleet({ ...CHAOS_FLEET, ...options.fleet });
  try {
    const evidence = await underFaults(fleet, options);
    const exitCodes = await fleet.stop(); // whoever does not end with 0 now is in the list, too
    return { evidence: { ...evidence, unexpectedExits: fleet.supervisor.unexpectedExits }, exitCodes };
  } finally {
    await fleet.stop();
  }
}

async function underFaults(fleet: Fleet, options: ChaosOptions): Promise<Evidence> {
  const startedAt = Date.now();
  const observed = observe(fleet, options.seed);
  const load = observed.clients.load(options.perSecond);
  const nemesis = releaseNemesis(fleet, createRandom(options.seed + 2), options);
  let faultsEndedAt = 0;
  const status = setInterval(() => {
    observed.entries();
    const asks = observed.clients.operations.filter(({ kind }) => kind === 'ask');
    options.onStatus({
      elapsedSeconds: (Date.now() - startedAt) / 1000,
      asked: asks.length,
      accepted: asks.filter(({ outcome }) => outcome === 'ok').length,
      faults: nemesis.faults.length,
      current: nemesis.current(),
    });
  }, 1_000);
  try {
    await new Promise((resolve) => setTimeout(resolve, options.minutes * 60_000));
    await nemesis.stop();
    faultsEndedAt = Date.now();
    await Promise.all([fleet.heal(), load.stop()]);
  } finally {
    clearInterval(status);
  }
  const { seed, minutes, perSecond, calmSeconds, mixes, onStuck } = options;
  const plan = { kind: 'chaos', minutes, perSecond, calmSeconds, mixes } as const;
  return conclude(observed, { plan, seed, startedAt, faults: nemesis.faults, faultsEndedAt, onStuck });
}

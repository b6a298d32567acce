/** A rolling restart of two of every service under load, and what is judged of it. */
import assert from 'node:assert/strict';
import type { Gateway } from '../docker/gateway.ts';
import { check } from '../faults/checker/check.ts';
import { covered } from '../faults/checker/duplicates.ts';
import type { Evidence, InjectedFault, Operation } from '../faults/evidence.ts';
import { type Fleet, type FleetOptions, startFleet, stopFleetsOnSignals } from '../faults/fleet.ts';
import { report } from '../faults/report.ts';
import { conclude, observe } from '../faults/run.ts';
import type { Instance } from '../faults/supervisor.ts';
import type { After } from '../kit/database.ts';
import { createRandom } from '../kit/random.ts';
import { until } from '../kit/until.ts';
import { delaySeconds, gatewayTo, type Served, servedBy } from './gateway.ts';
import { type Load, startLoad } from './load.ts';

const COUNTS = { 'command-api': 2, worker: 2, projector: 2, 'query-api': 2 };
const PER_SECOND = 6;
/** Of the log that must be completed before, and again after what happens in the middle. */
const GOES_ON = 6;

export type Rolled = {
  evidence: Evidence;
  /** Of each API by instance, as the gateway counted. */
  served: Served;
  /** Live feeds that could not be opened: why. */
  refusedFeeds: string[];
  /** Faults that the gateway logged. */
  gatewaySaid: string;
  /** Ids of prompts whose answer was read by who asked. */
  read: string[];
  exitCodes: Record<string, number | null>;
};

export type RollOptions = Pick<FleetOptions, 'redis' | 'standby'> & {
  /** As it is told in the report. */
  name: string;
  seed: number;
  /** Between the first of each service and the second, while the load goes on. */
  midway?: (fleet: Fleet, observe: Observe) => Promise<void>;
};
/** On record as a fault; resolves to what was accepted in that time. */
export type Observe = (kind: string, work: () => Promise<void>) => Promise<Operation[]>;

stopFleetsOnSignals();

export async function rollUnderLoad(t: After, { name, seed, midway, ...options }: RollOptions): Promise<Rolled> {
  const startedAt = Date.now();
  const fleet = await startFleet({
    counts: COUNTS,
    slots: 20,
    // Long enough that none is lost on a busy machine: nothing else would explain a second call.
    leaseSeconds: 5,
    env: { SHUTDOWN_DELAY_SECONDS: delaySeconds(), SHUTDOWN_GRACE_SECONDS: '20' },
    ...options,
  });
  const gateway = await gatewayTo(t, fleet).catch(async (error: unknown) => {
    await fleet.stop();
    throw error;
  });
  const observed = observe(fleet, seed, gateway.address);
  const faults: InjectedFault[] = [];
  const during: Observe = async (kind, work) => {
    const fault: InjectedFault = { at: Date.now(), until: Number.MAX_SAFE_INTEGER, kind, hits: [] };
    faults.push(fault);
    await work();
    fault.until = Date.now();
    return observed.clients.operations.filter(
      ({ kind, outcome, invokedAt, completedAt }) =>
        kind === 'ask' && outcome === 'ok' && invokedAt >= fault.at && completedAt <= fault.until,
    );
  };
  const [first, second] = [1, 2].map((n) =>
    ['projector', 'query-api', 'worker', 'command-api'].map((service) => fleet.byService(service)[n - 1]!),
  ) as [Instance[], Instance[]];
  let load: Load | null = null;
  try {
    const { connections } = observed.feeds;
    const greeted = () => connections.filter(({ frames }) => frames.length > 0).length === fleet.users.length;
    await until('every feed is greeted', greeted);
    load = startLoad(fleet, observed.clients, createRandom(seed + 2), PER_SECOND);
    await goesOn(load);
    await during('rolling restart of the first of each', () => restart(first, gateway));
    await midway?.(fleet, during);
    await goesOn(load);
    await during('rolling restart of the second of each', () => restart(second, gateway));
    await goesOn(load);
    await load.stop();
    const plan = { kind: 'matrix', cases: 1 } as const;
    const onStuck = (state: string) => console.error(state);
    const evidence = await conclude(observed, { plan, seed, startedAt, faults, onStuck });
    const served = await servedBy(gateway);
    const exitCodes = await fleet.stop();
    const whole = { ...evidence, unexpectedExits: fleet.supervisor.unexpectedExits };
    console.log(report(whole, `npm run several: ${name}, ${((Date.now() - startedAt) / 1000).toFixed(0)} s`).text);
    const { refused: refusedFeeds } = observed.feeds;
    return { evidence: whole, served, refusedFeeds, gatewaySaid: gateway.said(), read: load.answered, exitCodes };
  } finally {
    observed.feeds.close();
    observed.sampler.stop();
    observed.stopWatching();
    await fleet.stop();
    await load?.stop();
  }
}

/** One after the other, the next only when the one before is ready again, also for who sends it requests. */
async function restart(instances: Instance[], gateway: Gateway): Promise<void> {
  for (const one of instances) {
    const isApi = one.service.endsWith('-api');
    const toldAt = performance.now();
    const ended = one.restart();
    if (isApi) {
      await until(`${one.name} is sent nothing more`, async () => !(await gateway.uses(one.name)));
      const afterMs = (performance.now() - toldAt).toFixed(0);
      if (!one.isUp)
        throw new Error(`${one.name} ended before the gateway had left it, ${afterMs} ms after it was told`);
      console.log(`${one.name}: told to stop, and left by the gateway ${afterMs} ms later`);
    }
    const code = await ended;
    if (code !== 0) throw new Error(`${one.name} ended with ${code}`);
    await one.ready();
    if (isApi) await until(`${one.name} is sent requests`, () => gateway.uses(one.name));
  }
}

async function goesOn({ answered }: Load): Promise<void> {
  const before = answered.length;
  await until('prompts are asked and answered', () => answered.length >= before + GOES_ON, 20_000);
}

/** No request failed, each prompt was called and completed once, everybody saw it, and no invariant is broken. */
export function assertFaultless(rolled: Rolled): void {
  const { evidence, served, read, exitCodes } = rolled;
  const { operations, calls, database, feed, processes } = evidence;
  const failed = operations.filter((one) => one.outcome !== 'ok' && !stoodStill(one, evidence));
  assert.deepEqual(
    failed.map(
      ({ kind, api, status, code, invokedAt, completedAt }) =>
        `${new Date(invokedAt).toISOString()} ${kind} at ${api}: ${status ?? 'no answer'} ${code ?? ''} after ${completedAt - invokedAt} ms`,
    ),
    [],
    `the gateway said: ${rolled.gatewaySaid}`,
  );
  assert.deepEqual(rolled.refusedFeeds, []);
  assert.deepEqual(check(evidence), []);

  const asks = operations.filter(({ kind }) => kind === 'ask');
  const told = ids(asks.map(({ promptId }) => promptId));
  const eventsOf = (type: string) => database.log.filter((event) => event.type === type);
  // What was asked while the machine stood still may have been taken, though nobody could be told in time.
  const untold = new Set(asks.filter(({ outcome }) => outcome !== 'ok').map(({ promptHash }) => promptHash));
  const taken = eventsOf('PromptSubmitted').filter(({ data }) => untold.has(data.promptHash ?? null));
  const accepted = [...new Set([...told, ...taken.map(({ streamId }) => streamId)])].sort();
  // Each of four APIs served on for its delay.
  const least = 4 * Number(delaySeconds()) * PER_SECOND;
  assert.ok(accepted.length >= least, `${accepted.length} prompts are too few`);
  assert.equal(new Set(told).size, told.length);
  for (const type of ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted'])
    assert.deepEqual(ids(eventsOf(type).map(({ streamId }) => streamId)), accepted, type);
  assert.deepEqual(ids(read), told, 'whoever was told of it has read the answer');
  assert.deepEqual(
    calls.map(({ attemptId, billed }) => `${attemptId} ${billed}`).sort(),
    accepted.map((id) => `${id}/1 true`),
    'the provider was called and paid once for each',
  );

  const completions = new Map(eventsOf('PromptCompleted').map(({ position, streamId }) => [position, streamId]));
  for (const user of new Set(feed.filter(({ brief }) => !brief).map((one) => one.user))) {
    const connections = feed.filter((one) => one.user === user && !one.brief);
    const isTheirs = ({ data }: { data: { userId: string } }) => connections[0]!.isAdmin || data.userId === user;
    const seen = connections
      .flatMap(({ frames }) => frames)
      .filter(({ type, position }) => type === 'event' && completions.has(position ?? 0))
      .map(({ promptId }) => promptId);
    const theirs = eventsOf('PromptCompleted').filter(isTheirs);
    assert.deepEqual(ids(seen), ids(theirs.map(({ streamId }) => streamId)), `${user} saw each completion once`);
    assert.ok(connections.length >= 2, `${user} was never cut off`);
  }

  // Nothing of this is worth much if one of the two did it all.
  assert.deepEqual(Object.keys(served).sort(), ['command-api-1', 'command-api-2', 'query-api-1', 'query-api-2']);
  for (const [name, { answers, reused }] of Object.entries(served))
    assert.ok(answers > 0 && reused > 0, `${name}: ${answers} answers, ${reused} over connections that were there`);
  const pids = new Set(
    eventsOf('AttemptStarted').map(({ data }) => Number(/-(\d+)-[0-9a-f]+$/.exec(data.worker!)?.[1])),
  );
  const worked = new Set(processes.flatMap(({ pid, instance }) => (pids.has(pid) ? [instance] : [])));
  assert.deepEqual([...worked].sort(), ['worker-1', 'worker-2']);
  assert.equal(processes.length, 16, 'each of the eight was started twice');
  assert.deepEqual(Object.values(exitCodes), Array(8).fill(0));
}

/** Of the two seconds after which a service says that it cannot now. */
const STOOD_STILL_MS = 500;

/**
 * Asked to come again while the whole machine stood still: measured where nothing is restarted, in this process and at a new
 * connection to Postgres.
 */
function stoodStill({ status, retryAfter, invokedAt, completedAt }: Operation, { impairments }: Evidence): boolean {
  const whole = impairments.filter(
    ({ instance, what }) =>
      (instance === 'harness' && what === 'stalled') || (instance === 'postgres' && what === 'late'),
  );
  const since = invokedAt - 2_000;
  return status === 503 && retryAfter !== null && covered(whole, since, completedAt) >= STOOD_STILL_MS;
}

const ids = (all: (string | null)[]): string[] => all.flatMap((id) => id ?? []).sort();

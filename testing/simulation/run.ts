/** One seed: users and faults over virtual hours, then quiet; the evidence is judged by the checker of the fault runs. */
import { createHash } from 'node:crypto';
import { check, witness } from '../faults/checker/check.ts';
import type { Violation } from '../faults/checker/streams.ts';
import type { Evidence, LoggedEvent } from '../faults/evidence.ts';
import { createRandom, type Random } from '../kit/random.ts';
import { type Clock, withVirtualTime } from './clock.ts';
import { scheduleFaults } from './faults.ts';
import { scheduleUser } from './users.ts';
import { CALL_TIMEOUT_SECONDS, createWorld, LEASE_SECONDS, type Sabotage, type Service, type World } from './world.ts';

export type SimulationOptions = { seed: number; hours: number; prompts: number; sabotage?: Sabotage };
export type Simulated = {
  violations: Violation[];
  /** One prompt's way, of the first violation that names one. */
  witness: string;
  /** The same for the same seed. */
  trace: string;
  prompts: number;
  calls: number;
  faults: number;
  counters: Record<string, number>;
};

const HOUR = 3_600_000;
/** Holds of `never`, parked models, capped backoffs: all are over long before. */
const REST_WITHIN_MS = 40 * 60_000;
const COUNTS: Record<Service, number> = { relay: 2, worker: 2, projector: 2 };

export const simulate = (options: SimulationOptions): Promise<Simulated> => {
  const random = createRandom(options.seed);
  return withVirtualTime(random, (clock) => run(clock, random, options));
};

async function run(
  clock: Clock,
  random: Random,
  { seed, hours, prompts, sabotage }: SimulationOptions,
): Promise<Simulated> {
  const world = createWorld(clock, random, sabotage);
  const startedAt = Date.now();
  const spanMs = hours * HOUR;
  const ids: string[] = [];
  for (const [service, count] of Object.entries(COUNTS))
    for (let slot = 1; slot <= count; slot += 1) world.start(service as Service, slot);
  for (let i = 0; i < prompts; i += 1) scheduleUser(clock, random, world, spanMs, ids, i);
  const { faults, impairments } = scheduleFaults(clock, random, world, spanMs);
  await clock.runUntil(spanMs);
  heal(clock, world);
  const quietAt = Date.now();
  // The user who redrives comes a last time, so that nothing begins after this.
  const clean = () =>
    world.db.outbox.size === 0 && world.projection.cursor === world.db.log.length && world.stream.entries.length === 0;
  const rests = await clock.runUntil(spanMs + REST_WITHIN_MS, clean);
  const evidence = collect(world, {
    seed,
    startedAt,
    quietAt,
    cleanAt: rests ? Date.now() : null,
    faults,
    impairments,
    ids,
  });
  const violations = check(evidence);
  count(world, evidence);
  const named = violations.find(({ promptId }) => promptId !== null)?.promptId;
  const trace = createHash('sha256')
    .update(
      JSON.stringify([
        evidence.database.log.map(({ position, streamId, type, recordedAt }) => [position, streamId, type, recordedAt]),
        world.provider.calls,
      ]),
    )
    .digest('hex');
  return {
    violations,
    witness: named ? witness(evidence, named) : '',
    trace,
    prompts: ids.length,
    calls: world.provider.calls.length,
    faults: faults.length,
    counters: world.counters,
  };
}

function heal(clock: Clock, world: World): void {
  Object.assign(world.down, { postgres: false, redis: false });
  Object.assign(world.lossRate, { postgres: 0, redis: 0 });
  world.provider.ill = false;
  for (const { actor } of world.actors.values()) if (actor.paused) clock.resume(actor);
  for (const [service, count] of Object.entries(COUNTS)) {
    const alive = [...world.actors.values()].filter((one) => one.service === service).length;
    for (let slot = alive + 1; slot <= count; slot += 1) world.start(service as Service, slot);
  }
}

function collect(
  { db, projection, provider, stream }: World,
  run: Pick<Evidence, 'seed' | 'startedAt' | 'quietAt' | 'cleanAt' | 'faults' | 'impairments'> & { ids: string[] },
): Evidence {
  const log = db.log.map(
    ({ position, stream_id, version, event_id, type, recorded_at, data }): LoggedEvent => ({
      position,
      streamId: stream_id,
      version,
      eventId: event_id,
      type,
      recordedAt: recorded_at,
      committedAt: null,
      data: data as LoggedEvent['data'],
    }),
  );
  const { ids, ...told } = run;
  const tables = { states: String(projection.states.size) };
  return {
    ...told,
    plan: { kind: 'simulation' },
    operations: [],
    calls: provider.calls,
    database: {
      log,
      outbox: [...db.outbox.values()],
      cursor: projection.cursor,
      parkedStreams: [...projection.parked],
      prompts: [...projection.states.values()].map(({ promptId, userId, status, attempts, position }) => ({
        promptId,
        userId,
        status,
        attempts: attempts.length,
        position,
      })),
      totals: [...projection.sums].map(([userId, sums]) => ({
        userId,
        prompts:
          sums.queued + sums.running + sums.retrying + sums.completed + sums.failed + sums.cancelled + sums.expired,
        completed: sums.completed,
        failed: sums.failed,
        confirmed: sums.confirmed_nano_usd,
        wasted: sums.wasted_nano_usd,
        unknownBound: sums.unknown_bound_nano_usd,
      })),
      ledger: null,
      checksums: { live: tables, rebuilt: tables },
    },
    redis: {
      tasksLength: stream.entries.length,
      tasksPending: stream.group?.pending.size ?? 0,
      longestTasks: 0,
      memoryBytes: 0,
    },
    processes: [],
    seen: { repliesLost: 0, resyncs: 0, spooled: 0 },
    feed: [],
    samples: [],
    postgresConnections: { most: 0, whose: '' },
    unexpectedExits: [],
    secretsFound: [],
    limits: {
      cleanWithinMs: REST_WITHIN_MS,
      rssBytes: 1,
      openFiles: 1,
      postgresConnections: 1,
      tasksLength: 10_000,
      leaseMs: LEASE_SECONDS * 1000,
      callTimeoutMs: CALL_TIMEOUT_SECONDS * 1000,
      answerWithinMs: 0,
      feedBehind: 10_000,
    },
  };
}

/** What a run must have come by to have tested anything. */
function count({ counters }: World, { database }: Evidence): void {
  const add = (name: string, n: number) => {
    counters[name] = (counters[name] ?? 0) + n;
  };
  const byType = (type: string, end?: string) =>
    database.log.filter((one) => one.type === type && (end === undefined || one.data.end === end));
  add('leases lost', byType('AttemptFailed', 'lost').length);
  add('claimed, surely not called', byType('AttemptFailed', 'not_called').length);
  add('parked', byType('AttemptFailed', 'parked').length);
  add('outcomes of no use any more', byType('AttemptDiscarded').length);
  add('expired', byType('PromptExpired').length);
  const discarded = Map.groupBy(byType('AttemptDiscarded'), ({ streamId, data }) => `${streamId}/${data.attempt}`);
  add('costs known after all', [...discarded.values()].filter((words) => words.length > 1).length);
  const lost = new Set(byType('AttemptFailed', 'lost').map(({ streamId, data }) => `${streamId}/${data.attempt}`));
  add(
    'late answers adopted',
    byType('PromptCompleted').filter(({ streamId, data }) => lost.has(`${streamId}/${data.attempt}`)).length,
  );
}

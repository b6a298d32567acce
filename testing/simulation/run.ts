/** One seed: users and faults over virtual hours, then quiet; the evidence is judged by the checker of the fault runs. */
import { createHash } from 'node:crypto';
import type { EventMetadata } from '../../contracts/envelope.ts';
import { cancel, requeue } from '../../contracts/prompt/decide.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { decideAndAppend } from '../../platform/postgres/decide-and-append.ts';
import { laneNumber } from '../../platform/postgres/decision.ts';
import { check, witness } from '../faults/checker/check.ts';
import type { Violation } from '../faults/checker/streams.ts';
import type { Evidence, Impairment, InjectedFault, LoggedEvent } from '../faults/evidence.ts';
import { createRandom, type Random } from '../kit/random.ts';
import { type Clock, withVirtualTime } from './clock.ts';
import { createWorld, LEASE_SECONDS, type Sabotage, type Service, type World } from './world.ts';

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

const uuid = (random: Random): string => {
  const hex = (n: number) => Array.from({ length: n }, () => random.between(0, 15).toString(16)).join('');
  return `${hex(8)}-${hex(4)}-7${hex(3)}-8${hex(3)}-${hex(12)}`;
};

function scheduleUser(clock: Clock, random: Random, world: World, spanMs: number, ids: string[], i: number): void {
  const at = random.between(0, spanMs * 0.9);
  const promptId = uuid(random);
  const retry = random.pick(['auto', 'auto', 'auto', 'cautious', 'never'] as const);
  const lane = random.pick(['interactive', 'normal', 'batch'] as const);
  const model = random.pick(['m-1', 'm-1', 'm-2']);
  const userId = random.pick(['ada', 'grace', 'ken']);
  const metadata = (causationId: string) => ({
    correlationId: promptId,
    causationId,
    traceparent: null,
    actor: `user:${userId}`,
  });
  clock.at(at, async () => {
    const expiresAt = random.chance(0.1) ? new Date(Date.now() + random.between(1_000, 120_000)).toISOString() : null;
    const notBefore = random.chance(0.1) ? new Date(Date.now() + random.between(1_000, 300_000)).toISOString() : null;
    const data = { ...submission, userId, model, retry, lane, expiresAt, notBefore, costBound: 1_000 };
    ids.push(promptId);
    await world.append({
      streamId: promptId,
      expectedVersion: 0,
      events: [{ eventId: uuid(random), type: 'PromptSubmitted', data, metadata: metadata(`ask-${i}`) }],
      outbox: { op: 'open', user: userId, model, lane: laneNumber(lane), due: notBefore, expires: expiresAt },
    });
    world.hint('ready');
    if (random.chance(0.1)) clock.at(random.between(0, 60_000), () => change('cancel', 0));
    if (random.chance(0.5)) clock.at(random.between(60_000, 600_000), () => change('redrive', 1));
  });
  const change = async (what: 'cancel' | 'redrive', nth: number): Promise<void> => {
    if (clock.now <= spanMs) await changePrompt(world, promptId, what, metadata(`${what}-${i}-${nth}`));
  };
}

async function changePrompt(
  world: World,
  promptId: string,
  what: 'cancel' | 'redrive',
  metadata: EventMetadata,
): Promise<void> {
  const by = metadata.actor;
  try {
    const decided = await decideAndAppend({
      read: world.read,
      append: world.append,
      promptId,
      decide: (state) =>
        what === 'cancel' ? cancel(state, by) : requeue(state, by, 'again', new Date().toISOString()),
      metadata: () => metadata,
    });
    if (decided.status === 'done') world.counters[what] = (world.counters[what] ?? 0) + 1;
    world.hint(what === 'cancel' ? 'cancel' : 'ready');
  } catch {
    // Postgres is away: the user was told 503 and leaves it at that.
  }
}

/** What a worker runs is no longer wanted, and it does not hear of it: given up, its word on the cost comes late. */
function cancelRunningOf(world: World, worker: string, at: number): void {
  for (const { promptId, token } of world.db.outbox.values()) {
    const started = world.db.streams.get(promptId)?.findLast(({ type }) => type === 'AttemptStarted');
    if (token === null || started?.data['worker'] !== worker) continue;
    const causationId = `cancel-${worker}-${at}`;
    const metadata = { correlationId: promptId, causationId, traceparent: null, actor: 'user:ops' };
    void changePrompt(world, promptId, 'cancel', metadata);
  }
}

type Fault = {
  kind: string;
  hits: string[];
  impairs?: Pick<Impairment, 'instance' | 'what'>;
  begin: () => void;
  end: () => void;
  ms: number;
};

function scheduleFaults(
  clock: Clock,
  random: Random,
  world: World,
  spanMs: number,
): Pick<Evidence, 'faults' | 'impairments'> {
  const faults: InjectedFault[] = [];
  const impairments: Impairment[] = [];
  const next = () => {
    clock.at(random.between(5_000, 60_000), () => {
      if (clock.now > spanMs * 0.95) return;
      const { kind, hits, impairs, begin, end, ms } = draw(clock, random, world);
      begin();
      const span = { at: Date.now(), until: Date.now() + ms };
      faults.push({ ...span, kind, hits });
      if (impairs) impairments.push({ ...span, ...impairs, pid: null });
      clock.at(ms, end);
      next();
    });
  };
  next();
  return { faults, impairments };
}

function draw(clock: Clock, random: Random, world: World): Fault {
  const name = random.pick([...world.actors.keys()]);
  const { service, actor } = world.actors.get(name)!;
  const slot = Number(/-(\d+)#/.exec(name)?.[1]);
  const none = () => {};
  const loses = (server: 'postgres' | 'redis'): Fault => ({
    kind: `${server} loses replies`,
    hits: [server],
    ms: random.between(1_000, 20_000),
    begin: () => {
      world.lossRate[server] = 0.3;
    },
    end: () => {
      world.lossRate[server] = 0;
    },
  });
  const faults: Fault[] = [
    {
      kind: `${service} crashed`,
      hits: [service],
      impairs: { instance: name, what: 'ended' },
      ms: random.between(500, 30_000),
      begin: () => world.crash(name),
      end: () => world.start(service, slot),
    },
    {
      kind: `${service} paused`,
      hits: [service],
      impairs: { instance: name, what: 'stopped' },
      ms: random.between(500, 60_000),
      begin: () => {
        actor.paused = true;
        if (service === 'worker' && random.chance(0.5)) cancelRunningOf(world, name, clock.now);
      },
      end: () => clock.resume(actor),
    },
    {
      kind: 'postgres away',
      hits: ['postgres'],
      impairs: { instance: 'postgres', what: 'away' },
      ms: random.between(200, 40_000),
      begin: () => {
        world.down.postgres = true;
      },
      end: () => {
        world.down.postgres = false;
        world.db.startedAt = Date.now();
      },
    },
    loses('postgres'),
    loses('redis'),
    {
      kind: 'redis away',
      hits: ['redis'],
      ms: random.between(200, 60_000),
      begin: () => {
        world.down.redis = true;
      },
      end: () => {
        world.down.redis = false;
      },
    },
    { kind: 'redis wiped', hits: ['redis'], ms: 0, begin: () => world.stream.wipe(), end: none },
    { kind: 'redis group destroyed', hits: ['redis'], ms: 0, begin: () => world.stream.destroyGroup(), end: none },
    { kind: 'redis foreign entry', hits: ['redis'], ms: 0, begin: () => world.stream.addForeign({}), end: none },
    {
      kind: 'redis entry doubled',
      hits: ['redis'],
      ms: 0,
      begin: () => world.stream.addForeign(world.stream.entries.at(-1)?.fields ?? {}),
      end: none,
    },
    {
      kind: 'redis consumers deleted',
      hits: ['redis'],
      ms: 0,
      begin: () => world.stream.group?.pending.clear(),
      end: none,
    },
    {
      kind: 'provider ill',
      hits: ['provider'],
      ms: random.between(1_000, 90_000),
      begin: () => {
        world.provider.ill = true;
      },
      end: () => {
        world.provider.ill = false;
      },
    },
  ];
  return random.pick(faults);
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
    postgresConnections: 0,
    unexpectedExits: [],
    secretsFound: [],
    limits: {
      cleanWithinMs: REST_WITHIN_MS,
      rssBytes: 1,
      openFiles: 1,
      postgresConnections: 1,
      tasksLength: 10_000,
      leaseMs: LEASE_SECONDS * 1000,
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

/** What happens to a simulated system, drawn by the seed: every fault ends by itself. */
import type { Evidence, Impairment, InjectedFault } from '../faults/evidence.ts';
import type { Random } from '../kit/random.ts';
import type { Clock } from './clock.ts';
import { changePrompt } from './users.ts';
import { LEASE_SECONDS, type World } from './world.ts';

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
  /** `afterMs`: since the fault began. */
  impairs?: (Pick<Impairment, 'instance' | 'what'> & { afterMs?: number })[];
  begin: () => void;
  end: () => void;
  ms: number;
};

export function scheduleFaults(
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
      for (const { afterMs = 0, ...one } of impairs ?? [])
        impairments.push({ ...span, at: span.at + afterMs, ...one, pid: null });
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
      impairs: [{ instance: name, what: 'ended' }],
      ms: random.between(500, 30_000),
      begin: () => world.crash(name),
      end: () => world.start(service, slot),
    },
    {
      kind: `${service} paused`,
      hits: [service],
      impairs: [{ instance: name, what: 'stopped' }],
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
      impairs: [{ instance: 'postgres', what: 'away' }],
      ms: random.between(200, 40_000),
      begin: () => {
        world.down.postgres = true;
      },
      end: () => {
        world.down.postgres = false;
        world.db.startedAt = Date.now();
      },
    },
    awayWhileAWorkerDies(clock, random, world),
    pausedForALease(clock, random, world),
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

/** Its calls are given up and made again, and their answers come while that is under way. */
function pausedForALease(clock: Clock, random: Random, world: World): Fault {
  const workers = [...world.actors].filter(([, { service }]) => service === 'worker');
  const [name, found] = workers.length > 0 ? random.pick(workers) : [];
  const ms = LEASE_SECONDS * 1000 + random.between(0, 4_000);
  return {
    kind: 'worker paused for a lease',
    hits: ['worker'],
    impairs: name ? [{ instance: name, what: 'stopped' }] : [],
    ms,
    begin: () => {
      if (found) found.actor.paused = true;
    },
    end: () => {
      if (found) clock.resume(found.actor);
    },
  };
}

/** What it was paid for meanwhile is in its spool alone. */
function awayWhileAWorkerDies(clock: Clock, random: Random, world: World): Fault {
  const workers = [...world.actors].filter(([, { service }]) => service === 'worker').map(([name]) => name);
  const name = workers.length > 0 ? random.pick(workers) : null;
  const ms = random.between(5_000, 40_000);
  const afterMs = ms * 0.8;
  let died = false;
  return {
    kind: 'postgres away, and a worker crashed',
    hits: ['postgres', 'worker'],
    impairs: [
      { instance: 'postgres', what: 'away' },
      ...(name ? [{ instance: name, what: 'ended' as const, afterMs }] : []),
    ],
    ms,
    begin: () => {
      world.down.postgres = true;
      clock.at(afterMs, () => {
        died = name !== null && world.actors.has(name);
        if (died) world.crash(name!);
      });
    },
    end: () => {
      world.down.postgres = false;
      world.db.startedAt = Date.now();
      if (died) world.start('worker', Number(/-(\d+)#/.exec(name!)?.[1]));
    },
  };
}

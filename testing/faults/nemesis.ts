/** What is done to the fleet: every act is bounded, is undone by itself, and says whom it hits. */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Random } from '../kit/random.ts';
import type { Wire } from '../kit/wire.ts';
import type { InjectedFault } from './evidence.ts';
import type { Fleet } from './fleet.ts';
import type { Instance } from './supervisor.ts';

export type Mix = 'redis' | 'postgres' | 'provider' | 'process' | 'machine';
type Act = { mix: Mix; weight: number; run: (fleet: Fleet, random: Random) => Promise<string[]> };

const anyInstance = (fleet: Fleet, random: Random): Instance => random.pick(fleet.supervisor.instances());

async function onRedis(fleet: Fleet, work: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(fleet.redis.uri, { lazyConnect: true, retryStrategy: () => null, commandTimeout: 2_000 });
  redis.on('error', () => {}); // connect() rejects with it
  try {
    await redis.connect();
    await work(redis);
  } catch (error) {
    // No stream or no group yet: then there is nothing to spoil.
    if (!/NOGROUP|no such key|requires the key to exist/i.test((error as Error).message)) throw error;
  } finally {
    redis.disconnect();
  }
}

/** Breaks the way of one instance, or of all, to a server for a while. */
async function onWires(
  fleet: Fleet,
  random: Random,
  which: 'postgres' | 'redis',
  work: (wire: Wire) => void,
  ms: number,
): Promise<string[]> {
  const names = [...fleet.wires.keys()];
  const chosen = random.chance(0.4) ? names : [random.pick(names)];
  const wires = chosen.flatMap((name) => fleet.wires.get(name)?.[which] ?? []);
  for (const wire of wires) work(wire);
  await pause(ms);
  for (const wire of wires) wire.mend();
  return chosen.map((name) => `${name} to ${which}`);
}

const stopped = async (random: Random, instance: Instance): Promise<string[]> => {
  instance.signal('SIGSTOP');
  // Up to three leases: shorter than one, and long enough to have lost it.
  await pause(random.between(300, 6_000));
  instance.signal('SIGCONT');
  return [instance.name];
};

const redisAct = (weight: number, work: (redis: Redis) => Promise<unknown>): Act => ({
  mix: 'redis',
  weight,
  run: async (fleet) => {
    await onRedis(fleet, work);
    return ['redis'];
  },
});

/** By name; a run draws from those of its mix. */
export const acts: Record<string, Act> = {
  'redis wiped': redisAct(4, (redis) => redis.flushall()),
  'redis killed and started empty': {
    mix: 'redis',
    weight: 2,
    run: async (fleet, random) => {
      await fleet.redis.kill();
      await pause(random.between(0, 2_500));
      await fleet.redis.start();
      return ['redis'];
    },
  },
  'redis stopped': {
    mix: 'redis',
    weight: 2,
    run: async (fleet, random) => {
      fleet.redis.signal('SIGSTOP');
      await pause(random.between(200, 5_000));
      fleet.redis.signal('SIGCONT');
      return ['redis'];
    },
  },
  'redis connections cut': {
    mix: 'redis',
    weight: 2,
    run: (f, r) => onWires(f, r, 'redis', (w) => w.cut(), r.between(100, 2_000)),
  },
  'redis half-open': {
    mix: 'redis',
    weight: 2,
    run: (f, r) => onWires(f, r, 'redis', (w) => w.hang(), r.between(500, 5_000)),
  },
  'redis late': {
    mix: 'redis',
    weight: 1,
    run: (f, r) => onWires(f, r, 'redis', (w) => w.delay(r.between(20, 300)), 2_000),
  },
  'redis reply lost': { mix: 'redis', weight: 3, run: (f, r) => onWires(f, r, 'redis', (w) => w.loseAnswer(), 300) },
  'redis group destroyed': redisAct(2, (redis) => redis.xgroup('DESTROY', 'tasks', 'workers')),
  'redis group set to the end': redisAct(1, (redis) => redis.xgroup('SETID', 'tasks', 'workers', '$')),
  'redis consumers deleted': {
    mix: 'redis',
    weight: 1,
    run: async (fleet) => {
      await onRedis(fleet, async (redis) => {
        const consumers = (await redis.xinfo('CONSUMERS', 'tasks', 'workers')) as unknown[][];
        for (const one of consumers) await redis.xgroup('DELCONSUMER', 'tasks', 'workers', String(one[1]));
      });
      return ['redis'];
    },
  },
  'redis entries stolen': redisAct(1, (redis) => redis.xautoclaim('tasks', 'workers', 'nemesis', 0, '0', 'COUNT', 100)),
  'redis entries duplicated': {
    mix: 'redis',
    weight: 2,
    run: async (fleet) => {
      await onRedis(fleet, async (redis) => {
        for (const [, fields] of await redis.xrange('tasks', '-', '+', 'COUNT', 20))
          await redis.call('XADD', 'tasks', '*', ...fields);
      });
      return ['redis'];
    },
  },
  'redis foreign entry': redisAct(1, (redis) => redis.xadd('tasks', '*', 'junk', '\u0001', 'promptId', 'x')),
  'redis entries trimmed': redisAct(2, (redis) => redis.xtrim('tasks', 'MAXLEN', 0)),
  'redis full': {
    mix: 'redis',
    weight: 1,
    run: async (fleet, random) => {
      await onRedis(fleet, (redis) => redis.config('SET', 'maxmemory', '1'));
      await pause(random.between(500, 2_500));
      await onRedis(fleet, (redis) => redis.config('SET', 'maxmemory', '0'));
      return ['redis'];
    },
  },
  'postgres crashed': {
    mix: 'postgres',
    weight: 3,
    run: async (fleet, random) => {
      await fleet.postgres.kill();
      await pause(random.between(0, 2_000));
      await fleet.postgres.start();
      return ['postgres'];
    },
  },
  'postgres stopped': {
    mix: 'postgres',
    weight: 2,
    run: async (fleet, random) => {
      fleet.postgres.signal('SIGSTOP');
      await pause(random.between(200, 4_000));
      fleet.postgres.signal('SIGCONT');
      return ['postgres'];
    },
  },
  'postgres backends ended': {
    mix: 'postgres',
    weight: 3,
    run: async (fleet) => {
      const text =
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()';
      await fleet.impairments.during('postgres', 'refusing', () => fleet.query(text));
      return ['postgres'];
    },
  },
  'postgres locked': {
    mix: 'postgres',
    weight: 1,
    run: async (fleet) => {
      // Somebody else's transaction holds the append lock; the appends' own time-outs must see to it.
      const text = 'SELECT pg_advisory_lock(7301), pg_sleep(1.5)';
      await fleet.impairments.during('postgres', 'refusing', () => fleet.query(text));
      return ['postgres'];
    },
  },
  'postgres connections cut': {
    mix: 'postgres',
    weight: 2,
    run: (f, r) => onWires(f, r, 'postgres', (w) => w.cut(), r.between(100, 4_000)),
  },
  'postgres half-open': {
    mix: 'postgres',
    weight: 2,
    run: (f, r) => onWires(f, r, 'postgres', (w) => w.hang(), r.between(500, 6_000)),
  },
  'postgres late': {
    mix: 'postgres',
    weight: 1,
    run: (f, r) => onWires(f, r, 'postgres', (w) => w.delay(r.between(20, 200)), 3_000),
  },
  'postgres reply lost': {
    mix: 'postgres',
    weight: 4,
    run: (f, r) => onWires(f, r, 'postgres', (w) => w.loseAnswer(), 300),
  },
  'provider refuses': {
    mix: 'provider',
    weight: 3,
    run: async (fleet, random) => {
      fleet.emulator.setBehaviour({ fault: random.pick(['503', '500', '429-bare', '503-html', '504']) });
      await pause(random.between(300, 2_000));
      fleet.emulator.setBehaviour({});
      return ['provider'];
    },
  },
  'provider hangs': {
    mix: 'provider',
    weight: 2,
    run: async (fleet, random) => {
      fleet.emulator.setBehaviour({ fault: random.pick(['hang', 'hang-body']) });
      await pause(random.between(200, 1_000));
      fleet.emulator.setBehaviour({});
      return ['provider'];
    },
  },
  'provider answers rubbish': {
    mix: 'provider',
    weight: 2,
    run: async (fleet, random) => {
      fleet.emulator.setBehaviour({
        fault: random.pick(['malformed', 'cut-at-event', 'cut-in-event', 'bad-json', 'no-usage', 'nul-text']),
      });
      await pause(random.between(300, 2_000));
      fleet.emulator.setBehaviour({});
      return ['provider'];
    },
  },
  'provider connections cut': {
    mix: 'provider',
    weight: 2,
    run: async (fleet, random) => {
      fleet.providerWire.cut();
      await pause(random.between(100, 1_500));
      fleet.providerWire.mend();
      return ['provider'];
    },
  },
  'provider connections reset': {
    mix: 'provider',
    weight: 2,
    run: async (fleet) => {
      fleet.providerWire.reset();
      return ['provider'];
    },
  },
  'process killed': {
    mix: 'process',
    weight: 5,
    run: async (fleet, random) => {
      const instance = anyInstance(fleet, random);
      instance.signal('SIGKILL');
      return [instance.name];
    },
  },
  'worker killed': {
    mix: 'process',
    weight: 4,
    run: async (fleet, random) => {
      const instance = random.pick(fleet.byService('worker'));
      instance.signal('SIGKILL');
      return [instance.name];
    },
  },
  'process stopped': {
    mix: 'process',
    weight: 3,
    run: (fleet, random) => stopped(random, anyInstance(fleet, random)),
  },
  'worker stopped': {
    mix: 'process',
    weight: 3,
    run: (fleet, random) => stopped(random, random.pick(fleet.byService('worker'))),
  },
  'process restarted': {
    mix: 'process',
    weight: 3,
    run: async (fleet, random) => {
      const instance = anyInstance(fleet, random);
      await instance.restart();
      return [instance.name];
    },
  },
  'clock bent': {
    mix: 'process',
    weight: 2,
    run: async (fleet, random) => {
      const instance = anyInstance(fleet, random);
      instance.send({ skewMs: random.pick([-3_600_000, -5_000, 5_000, 3_600_000]) });
      await pause(2_000);
      instance.send({ skewMs: 0 });
      return [];
    },
  },
  'power cut': {
    mix: 'machine',
    weight: 3,
    run: async (fleet, random) => {
      for (const instance of fleet.supervisor.instances()) instance.signal('SIGKILL');
      await Promise.all([fleet.postgres.kill(), fleet.redis.kill()]);
      await pause(random.between(0, 500));
      await Promise.all([fleet.postgres.start(), fleet.redis.start()]);
      return ['machine', 'worker', 'postgres', 'redis'];
    },
  },
};

export type Nemesis = {
  faults: InjectedFault[];
  current: () => string | null;
  /** Resolves when the act under way is over. Rejects with what kept the nemesis from acting: such a run proves nothing. */
  stop: () => Promise<void>;
};

export type NemesisOptions = {
  /** Empty: all. */
  mixes: Mix[];
  /** The longest pause between two acts; the shortest is 0.3 s. */
  calmSeconds: number;
};

/** One act after the other, with pauses in which the fleet can mend. */
export function releaseNemesis(fleet: Fleet, random: Random, { mixes, calmSeconds }: NemesisOptions): Nemesis {
  const faults: InjectedFault[] = [];
  const pool = Object.entries(acts)
    .filter(([, act]) => mixes.length === 0 || mixes.includes(act.mix))
    .flatMap(([name, { weight }]) => Array.from({ length: weight }, () => name));
  let stopping = false;
  let current: string | null = null;
  async function run(): Promise<void> {
    while (!stopping && pool.length > 0) {
      await pause(random.between(300, calmSeconds * 1000));
      if (stopping) return;
      const kind = random.pick(pool);
      const fault: InjectedFault = { at: Date.now(), until: 0, kind, hits: [] };
      faults.push(fault);
      current = kind;
      fault.hits = await acts[kind]!.run(fleet, random);
      fault.until = Date.now();
      // A machine that loses its power again while it starts tells nothing about what it was doing.
      if (acts[kind]!.mix === 'machine') await fleet.up();
      current = null;
    }
  }
  let failure: unknown = null;
  const loop = run().catch((error: unknown) => {
    failure = error;
  });
  return {
    faults,
    current: () => current,
    stop: async () => {
      stopping = true;
      await loop;
      if (failure) throw new Error(`the nemesis failed at ${current}`, { cause: failure });
    },
  };
}

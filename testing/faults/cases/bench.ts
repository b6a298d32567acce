/** What a case works with: a fleet that stays up from case to case, and the words the cases are written in. */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { until } from '../../kit/until.ts';
import type { Wire } from '../../kit/wire.ts';
import type { Action } from '../arm.ts';
import type { AskOptions, Clients } from '../clients.ts';
import type { InjectedFault } from '../evidence.ts';
import type { Fleet } from '../fleet.ts';
import { waitUntilClean } from '../quiet.ts';
import type { Instance } from '../supervisor.ts';

export type Case = {
  /** As in the table of the reference, e.g. `D1 worker.claimed kill`. */
  name: string;
  /** Begun before the others. */
  isLong?: true;
  /** Fail points it reaches. */
  points?: string[];
  run: (bench: Bench) => Promise<void>;
};

export type Bench = {
  fleet: Fleet;
  clients: Clients;
  leaseMs: number;
  users: string[];
  /** Accepted prompts of users in turn; asked again by their key until the answer is known. */
  asks: (n: number, options?: AskOptions) => Promise<string[]>;
  /** The usual work: every retry policy, a call that takes a moment. */
  work: () => Promise<string[]>;
  /** Arms one instance of these, whichever gets there first; resolves to it when it is there. */
  arm: (instances: Instance[], point: string, action: Action, delayMs?: number) => Promise<Instance>;
  /** Stops every worker, those being started too: a signal finds no process while there is none. Resolves to them. */
  stopWorkers: () => Promise<Instance[]>;
  /** On record, so that the checker knows what may follow from it. */
  fault: <T>(kind: string, hits: string[], work: () => Promise<T>) => Promise<T>;
  redis: <T>(work: (redis: Redis) => Promise<T>) => Promise<T>;
  /** Types of a prompt's events, in order. */
  types: (promptId: string) => Promise<string[]>;
  /** The same of many, by one statement: a connection for each would be more of them than the services have. */
  typesOf: (promptIds: string[]) => Promise<string[][]>;
  /** Provider calls of these prompts. */
  calls: (promptIds: string[]) => number;
  clean: () => Promise<void>;
};

/** Also where two fleets share two cores, and with the processes that come up after it. */
const CLEAN_AFTER_A_CASE_MS = 15_000;

export function createBench(fleet: Fleet, clients: Clients, faults: InjectedFault[], leaseMs: number): Bench {
  const users = fleet.users.filter((user) => !user.isAdmin).map((user) => user.name);
  let asked = 0;

  const asks: Bench['asks'] = (n, options = {}) =>
    Promise.all(
      Array.from({ length: n }, async () => {
        asked += 1;
        const operation = await clients.ask(users[asked % users.length]!, { key: `case-${asked}`, ...options });
        if (operation.outcome !== 'ok' || !operation.promptId)
          throw new Error(`an ask was not accepted: ${JSON.stringify(operation)}`);
        return operation.promptId;
      }),
    );
  const typesOf: Bench['typesOf'] = async (promptIds) => {
    const rows = await fleet.query<{ types: string[] }>(
      `SELECT ARRAY(SELECT type FROM event WHERE stream_id = id ORDER BY version) AS types
         FROM unnest($1::uuid[]) WITH ORDINALITY AS asked(id, n) ORDER BY n`,
      [promptIds],
    );
    return rows.map(({ types }) => types);
  };

  return {
    fleet,
    clients,
    leaseMs,
    users,
    asks,
    work: async () => {
      const emulate = { delayMs: 60, chunks: 3, chunkDelayMs: 20 };
      const sets = await Promise.all([
        asks(3, { emulate }),
        asks(1, { emulate, retry: 'cautious' }),
        asks(2, { emulate, retry: 'never' }),
      ]);
      return sets.flat();
    },
    arm: async (instances, point, action, delayMs) => {
      const arrived = instances.map(async (instance) => {
        await instance.ready();
        const reached = instance.reached();
        instance.send({ arm: point as never, action, nth: 1, ...(delayMs !== undefined && { delayMs }) });
        await reached;
        await settled(instance, action);
        return instance;
      });
      const first = await Promise.race(arrived);
      for (const other of instances) if (other !== first) other.send({ disarm: true });
      return first;
    },
    stopWorkers: async () => {
      const workers = fleet.byService('worker');
      await Promise.all(workers.map((one) => one.ready()));
      for (const one of workers) one.signal('SIGSTOP');
      return workers;
    },
    fault: async (kind, hits, work) => {
      const fault: InjectedFault = { at: Date.now(), until: Number.MAX_SAFE_INTEGER, kind, hits };
      faults.push(fault);
      try {
        return await work();
      } finally {
        fault.until = Date.now();
      }
    },
    redis: (work) => onServer(fleet.redis.uri, work),
    types: async (promptId) => (await typesOf([promptId]))[0]!,
    typesOf,
    calls: (promptIds) => {
      const wanted = new Set(promptIds);
      return fleet.emulator.billing.entries().filter(({ attemptId }) => wanted.has(attemptId?.split('/')[0] ?? ''))
        .length;
    },
    clean: async () => {
      const since = Date.now();
      await fleet.heal();
      const { cleanAt, last } = await waitUntilClean(fleet, CLEAN_AFTER_A_CASE_MS);
      if (cleanAt === null) throw new Error(`not idle and clean: ${JSON.stringify(last)}`);
      if (cleanAt - since > CLEAN_AFTER_A_CASE_MS) throw new Error(`idle and clean only after ${cleanAt - since} ms`);
    },
  };
}

/** Something happens while calls of `delayMs` are under way; they end, more are asked for, and everything is clean again. */
export const amidCalls = (
  name: string,
  hits: string[],
  act: (bench: Bench) => Promise<unknown>,
  delayMs: number,
): Case => ({
  name,
  run: async (bench) => {
    await bench.fault(name, hits, async () => {
      const before = bench.asks(12, { emulate: { delayMs } });
      before.catch(() => {}); // awaited below
      await pause(Math.min(120, delayMs * 0.6));
      await act(bench);
      await Promise.all([before, bench.work()]);
    });
    await bench.clean();
  },
});

/** With a connection of its own, past every wire. */
export async function onServer<T>(uri: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(uri, { lazyConnect: true, retryStrategy: () => null, commandTimeout: 5_000 });
  redis.on('error', () => {}); // the command rejects with it
  await redis.connect();
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** The word of a point's being reached comes before what is done there: a signal sent at once would be too early. */
async function settled(instance: Instance, action: Action): Promise<void> {
  if (action === 'stop') await until(`${instance.name} is stopped`, () => instance.isStopped());
  if (action === 'kill' || action === 'crash') await until(`${instance.name} has ended`, () => !instance.isUp);
}

/** Resolves when something was reached, or fails with what was waited for. */
export async function within<T>(what: string, ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Fails when no answer was thrown away. */
export async function repliesLost(these: Wire[], times: number): Promise<void> {
  const lost = () => these.reduce((sum, wire) => sum + wire.lost, 0);
  const before = lost();
  for (let i = 0; i < times; i += 1) {
    for (const wire of these) wire.loseAnswer();
    await pause(80);
  }
  if (lost() === before) throw new Error('no reply was lost');
}

export { pause, until };

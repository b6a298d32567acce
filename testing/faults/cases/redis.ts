/** Group C and the Redis part of B: late, gone, wiped, full or lying. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { windowOf } from '../../../command-api/relay/window.ts';
import { createImpairments } from '../impairments.ts';
import { createRedisServer } from '../servers.ts';
import { amidCalls, type Bench, type Case, onServer, pause, repliesLost, until, within } from './bench.ts';

/** Done to Redis in the middle of the usual work. */
const amid = (name: string, act: (bench: Bench) => Promise<unknown>): Case => amidCalls(name, ['redis'], act, 100);

/** 0 where no stream or no group is there yet: then there is nothing to spoil. */
async function unlessGone(work: Promise<number>): Promise<number> {
  try {
    return await work;
  } catch (error) {
    if (!/NOGROUP|no such key|requires the key/i.test((error as Error).message)) throw error;
    return 0;
  }
}

/** Says how much it touched; done again, while prompts come, until it touched something: an act on nothing tests nothing. */
type Touch = (redis: Redis) => Promise<number>;
async function untilTouched(bench: Bench, touch: Touch): Promise<void> {
  const asked: Promise<unknown>[] = [];
  const ask = () => {
    const more = bench.asks(2, { emulate: { delayMs: 200 } });
    more.catch(() => {}); // awaited below
    asked.push(more);
  };
  const asking = setInterval(ask, 250);
  try {
    await bench.redis((redis) => until('it touched something', () => unlessGone(touch(redis)), 20_000));
  } finally {
    clearInterval(asking);
  }
  await Promise.all(asked);
}
const touching = (name: string, touch: Touch): Case => amid(name, (bench) => untilTouched(bench, touch));

const command = (name: string, ...words: [string, ...string[]]): Case =>
  amid(name, (bench) => bench.redis((redis) => redis.call(...words)));
/** Of those that answer how much they touched. */
const counted = (name: string, ...words: [string, ...string[]]): Case =>
  touching(name, async (redis) => Number(await redis.call(...words)));

const pendingOf: Touch = async (redis) => Number(((await redis.xpending('tasks', 'workers')) as unknown[])[0]);
/** While workers hold entries. */
const amidWork = (name: string, ...words: [string, ...string[]]): Case =>
  touching(name, async (redis) => {
    const pending = await pendingOf(redis);
    if (pending > 0) await redis.call(...words);
    return pending;
  });

type Change = (redis: Redis) => Promise<unknown>;
/** While nothing can be written nothing is dispatched: none of those that come meanwhile is called. */
async function unwritable(bench: Bench, begin: Change, end: Change): Promise<void> {
  await bench.redis(begin);
  try {
    const [asked] = await Promise.all([bench.asks(6), pause(2_000)]);
    const calls = bench.calls(asked);
    if (calls > 0) throw new Error(`${calls} of ${asked.length} were called though Redis took nothing`);
  } finally {
    await bench.redis(end);
  }
}

const wires = (bench: Bench) => [...bench.fleet.wires.values()].flatMap((pair) => pair.redis ?? []);

/** No prompt that was running or done when Redis went is called again. */
const wipedUnderLoad: Case = {
  name: 'C1 wiped five times under load',
  run: async (bench) => {
    const load = bench.clients.load(50);
    await bench.fault('redis wiped under load', ['redis'], async () => {
      for (let i = 0; i < 5; i += 1) {
        await pause(500);
        await untilTouched(bench, async (redis) => {
          const pending = await pendingOf(redis);
          if (pending > 0) await redis.flushall();
          return pending;
        });
      }
    });
    await load.stop();
    await bench.clean();
  },
};

const stolen = async (redis: Redis, by: string): Promise<number> => {
  const [, entries] = (await redis.xautoclaim('tasks', 'workers', by, 0, '0', 'COUNT', 100)) as [string, unknown[]];
  return entries.length;
};

/** At one step of one prompt, while fifty others a second are at every other one. */
const wipedAt = (stage: string, point: string): Case => ({
  name: `C1 wiped under load when a prompt is ${stage}`,
  points: [point],
  run: async (bench) => {
    const load = bench.clients.load(50);
    const instances = bench.fleet.byService(point.startsWith('relay') ? 'command-api' : 'worker');
    await bench.fault(`redis wiped when a prompt is ${stage}`, ['redis'], async () => {
      await within(`${point} is reached`, 10_000, bench.arm(instances, point, 'stop'));
      await bench.redis((redis) => redis.flushall());
      for (const one of instances) one.signal('SIGCONT');
      await pause(300);
    });
    await load.stop();
    await bench.clean();
  },
});

/** The most entries that the stream was seen to hold until then. */
async function longestUntil(bench: Bench, end: Promise<unknown>): Promise<number> {
  let [longest, ended] = [0, false];
  const stop = () => {
    ended = true;
  };
  const over = end.then(stop, stop);
  while (!ended) {
    longest = Math.max(longest, await bench.redis((redis) => redis.xlen('tasks')));
    await Promise.race([over, pause(50)]);
  }
  return longest;
}

export const redisCases: Case[] = [
  wipedUnderLoad,
  wipedAt('queued', 'relay.published'),
  wipedAt('pending', 'worker.entry_read'),
  wipedAt('running', 'worker.streaming'),
  wipedAt('answered', 'worker.called'),
  wipedAt('told', 'worker.told'),
  wipedAt('acknowledged', 'worker.acknowledged'),
  amidWork('C2 group destroyed while it is read', 'XGROUP', 'DESTROY', 'tasks', 'workers'),
  counted('C7 entries trimmed', 'XTRIM', 'tasks', 'MAXLEN', '0'),
  amid('C8 group set to the end', async (bench) => {
    // Live workers take an entry as it comes, and leave none behind that could be passed over.
    const workers = await bench.stopWorkers();
    try {
      await untilTouched(bench, async (redis) => {
        const waiting = (await redis.xlen('tasks')) - (await pendingOf(redis));
        if (waiting > 0) await redis.xgroup('SETID', 'tasks', 'workers', '$');
        return waiting;
      });
    } finally {
      for (const worker of workers) worker.signal('SIGCONT');
    }
  }),
  amidWork('C8 group set to the beginning', 'XGROUP', 'SETID', 'tasks', 'workers', '0'),
  amidWork('C4 tasks stream deleted', 'DEL', 'tasks'),
  amidWork('C8 tasks stream overwritten by what is none', 'SET', 'tasks', 'x'),
  counted('F6 results stream deleted', 'DEL', 'results'),
  amid('F5 results stream is no stream for a while', async (bench) => {
    await bench.redis((redis) => redis.set('results', 'x'));
    await pause(700);
    await bench.redis((redis) => redis.del('results'));
  }),
  command('C12 foreign entry far ahead', 'XADD', 'tasks', '99999999999999-0', 'promptId', 'x'),
  command('C12 foreign entry beyond any sane number', 'XADD', 'tasks', '9999999999999999999-0', 'a', 'b'),
  counted('B7 hints cut', 'CLIENT', 'KILL', 'TYPE', 'pubsub'),
  counted('C10 all connections killed', 'CLIENT', 'KILL', 'TYPE', 'normal'),
  command('C9 paused for two seconds', 'CLIENT', 'PAUSE', '2000'),
  touching('C8 consumers with pending entries deleted', async (redis) => {
    let pending = 0;
    for (const one of (await redis.xinfo('CONSUMERS', 'tasks', 'workers')) as unknown[][])
      pending += Number(await redis.xgroup('DELCONSUMER', 'tasks', 'workers', String(one[1])));
    return pending;
  }),
  touching('C11 pending entries claimed by a stranger', (redis) => stolen(redis, 'stranger')),
  touching('C13 delivered fifty times', async (redis) => {
    const first = await stolen(redis, 'stranger-0');
    for (let i = 1; first > 0 && i < 50; i += 1) await stolen(redis, `stranger-${i % 3}`);
    return first;
  }),
  touching('C11 entries doubled', async (redis) => {
    const entries = await redis.xrange('tasks', '-', '+');
    for (const [, fields] of entries) await redis.call('XADD', 'tasks', '*', ...fields);
    return entries.length;
  }),
  amid('C12 junk entries', (bench) =>
    bench.redis(async (redis) => {
      for (const fields of [
        ['junk', '\u0000'],
        ['promptId', 'no-uuid'],
        ['promptId', "'; DROP TABLE event; --"],
        ['', ''],
      ]) {
        await redis.xadd('tasks', '*', ...fields);
      }
    }),
  ),
  amid('F3 a result told a hundred times, and junk among them', (bench) =>
    bench.redis(async (redis) => {
      for (let i = 0; i < 100; i += 1)
        await redis.xadd(
          'results',
          '*',
          'promptId',
          i % 2 ? 'junk' : '01900000-0000-7000-8000-000000000000',
          'type',
          'PromptCompleted',
        );
    }),
  ),
  amid('C5 full for two seconds', (bench) =>
    unwritable(
      bench,
      (redis) => redis.config('SET', 'maxmemory', '1'),
      (redis) => redis.config('SET', 'maxmemory', '0'),
    ),
  ),
  amid('B6 a replica of nobody for two seconds: writes are refused', (bench) =>
    unwritable(
      bench,
      (redis) => redis.call('REPLICAOF', '127.0.0.1', '1'),
      (redis) => redis.call('REPLICAOF', 'NO', 'ONE'),
    ),
  ),
  amid('B6 an access list that forbids writing, for two seconds', (bench) =>
    unwritable(
      bench,
      (redis) => redis.call('ACL', 'SETUSER', 'default', '-@write'),
      (redis) => redis.call('ACL', 'SETUSER', 'default', '+@all'),
    ),
  ),
  amid('C4 killed, and started with what it had some seconds ago', async (bench) => {
    await bench.redis((redis) => redis.save());
    await bench.work();
    await bench.fleet.redis.kill();
    await bench.fleet.redis.start();
    rmSync(join(bench.fleet.dir, 'redis/dump.rdb')); // loaded now; the next start is empty again
  }),
  amid('C4 a replica is promoted, without what it had not got yet', async (bench) => {
    const { fleet } = bench;
    const dir = join(fleet.dir, 'replica');
    mkdirSync(dir, { recursive: true });
    const replica = await createRedisServer(dir, fleet.root, () => {}, createImpairments());
    try {
      await onServer(replica.uri, async (redis) => {
        const { hostname, port, password } = new URL(fleet.redis.uri);
        await redis.config('SET', 'masterauth', password);
        await redis.call('REPLICAOF', hostname, port);
        await until('the replica has the state', async () =>
          /master_link_status:up/.test(await redis.info('replication')),
        );
        replica.signal('SIGSTOP'); // behind from here on
        await bench.work();
        await fleet.redis.kill();
        replica.signal('SIGCONT');
        await redis.call('REPLICAOF', 'NO', 'ONE');
      });
      for (const wire of wires(bench)) wire.retarget(replica.uri);
      for (const wire of wires(bench)) wire.cut();
      for (const wire of wires(bench)) wire.mend();
      await bench.work();
    } finally {
      await fleet.redis.start(); // another, empty: the wires follow it
      await replica.stop();
    }
  }),
  amid('C3 killed, and started empty', async (bench) => {
    await bench.fleet.redis.kill();
    await bench.fleet.redis.start();
  }),
  amid('C9 stopped for longer than a lease', async (bench) => {
    bench.fleet.redis.signal('SIGSTOP');
    await pause(bench.leaseMs * 1.5);
    bench.fleet.redis.signal('SIGCONT');
  }),
  amid('C10 half-open', async (bench) => {
    for (const wire of wires(bench)) wire.hang();
    await pause(3_000);
    for (const wire of wires(bench)) wire.mend();
  }),
  amid('B2 replies lost', (bench) => repliesLost(wires(bench), 4)),
  amid('C10 every word 200 ms late', async (bench) => {
    for (const wire of wires(bench)) wire.delay(200);
    await pause(1_500);
    for (const wire of wires(bench)) wire.mend();
  }),
  {
    name: 'B3 away for four seconds with 300 prompts accepted meanwhile',
    run: async (bench) => {
      await bench.fault('redis away', ['redis'], async () => {
        await bench.fleet.redis.kill();
        const asked = await bench.asks(300);
        await pause(4_000);
        await bench.fleet.redis.start();
        await bench.clean();
        const calls = bench.calls(asked);
        if (calls !== 300) throw new Error(`300 prompts were called ${calls} times`);
      });
    },
  },
  {
    name: 'B3 no worker takes any of 300 prompts: the stream holds a window of them, the rest waits in Postgres',
    run: async (bench) => {
      const { fleet } = bench;
      await bench.fault('no worker', ['worker'], async () => {
        const workers = await bench.stopWorkers();
        const asked = bench.asks(300);
        const longest = await longestUntil(bench, Promise.all([asked, pause(2_000)]));
        const [known] = await fleet.query<{ slots: number; models: number }>(
          `SELECT (SELECT sum(slots)::integer FROM worker WHERE seen_at > clock_timestamp() - interval '12 seconds') AS slots,
                  (SELECT count(DISTINCT model)::integer FROM outbox) AS models`,
        );
        for (const worker of workers) worker.signal('SIGCONT');
        await asked;
        const most = known!.models * windowOf(1, known!.slots, false);
        if (longest === 0 || longest > most) throw new Error(`${longest} entries, the windows allow ${most}`);
      });
      await bench.clean();
    },
  },
  {
    name: 'C6 a Redis that evicts is refused at start, and taken when it does not',
    run: async (bench) => {
      const [worker] = bench.fleet.byService('worker');
      await bench.redis((redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'));
      await bench.fault('redis evicts', ['worker'], async () => {
        const starts = worker!.starts;
        await worker!.restart();
        await until('it was started, and ended by itself', () => worker!.starts > starts + 1, 20_000);
        await bench.redis((redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'));
        await worker!.ready();
        bench.fleet.supervisor.forgive(
          ({ service, said }) => service === worker!.name && said.includes('Redis evicts keys'),
        );
      });
      await bench.work();
      await bench.clean();
    },
  },
];

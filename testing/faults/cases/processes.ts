/** Groups D, G, H and I: processes that die, stop, spin, are restarted or have the wrong time. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { newId } from '../../../platform/ids.ts';
import type { Fleet } from '../fleet.ts';
import { amidCalls, type Bench, type Case, pause, until, within } from './bench.ts';

const amid = (name: string, hits: string[], act: (bench: Bench) => Promise<unknown>, delayMs = 200): Case =>
  amidCalls(name, hits, act, delayMs);

const killed = (service: string): Case =>
  amid(`D1 all of ${service} killed`, [service], async ({ fleet }) => {
    for (const one of fleet.byService(service)) one.signal('SIGKILL');
  });
const restarted = (service: string, delayMs: number): Case =>
  amid(
    `D8 all of ${service} told to stop, calls of ${delayMs} ms`,
    [service],
    async ({ fleet }) => {
      const codes = await Promise.all(fleet.byService(service).map((one) => one.restart()));
      if (codes.some((code) => code !== 0)) throw new Error(`exit codes ${codes}`);
    },
    delayMs,
  );

async function rollingRestart({ fleet }: Bench): Promise<void> {
  for (const one of fleet.supervisor.instances()) {
    const code = await one.restart();
    if (code !== 0) throw new Error(`${one.name} ended with ${code}`);
    await one.ready();
  }
}

/** A worker that stood still for longer than its lease says that its call failed while the next one is under way. */
async function failsLate(bench: Bench): Promise<void> {
  const workers = bench.fleet.byService('worker');
  const reached = bench.arm(workers, 'worker.called', 'stop');
  // One alone: with more of them both workers get there, and both stop. Blocked: the model is well, and nothing parks it.
  const asking = bench.asks(1, { emulate: { faults: ['blocked', 'ok'], delayMs: 2_500 } });
  asking.catch(() => {}); // awaited below
  await within('a worker was answered', 10_000, reached);
  const [id] = (await asking) as [string];
  const told = async (type: string, attempt: number): Promise<boolean> => {
    const text = `SELECT 1 FROM event WHERE stream_id = $1 AND type = $2 AND (data ->> 'attempt')::integer = $3`;
    return (await bench.fleet.query(text, [id, type, attempt])).length > 0;
  };
  await until('the next attempt is under way', () => told('AttemptStarted', 2));
  for (const one of workers) one.signal('SIGCONT');
  await until('its word has come', () => told('AttemptDiscarded', 1));
  await bench.clean();
  const types = await bench.types(id);
  const failures = types.filter((type) => type === 'AttemptFailed').length;
  if (failures !== 1 || types.at(-1) !== 'PromptCompleted') throw new Error(`it counted: ${types}`);
}

const LOCK = 'SELECT pg_advisory_lock(7301), pg_sleep(60)';

async function lockedUntilCancelled(fleet: Fleet): Promise<void> {
  await assert.rejects(fleet.query(LOCK), { code: '57014' });
}

/**
 * Claims wait for the append lock when their workers are cut off and told to stop; then they commit, unheard. A machine
 * so slow that the server gives the claims up first (after two seconds) has not met the case: it is brought about again.
 */
async function stoppedUnanswered(bench: Bench): Promise<void> {
  const tries: string[] = [];
  while (tries.length < 3) {
    const asked = await askedAndUnheard(bench);
    const events = await bench.fleet.query<{ type: string; end: string | null }>(
      `SELECT type, data ->> 'end' AS end FROM event WHERE stream_id = ANY($1) ORDER BY position`,
      [asked],
    );
    const completed = events.filter(({ type }) => type === 'PromptCompleted').length;
    if (completed < asked.length) throw new Error(`${completed} of ${asked.length} were answered`);
    if (events.some(({ end }) => end === 'not_called')) return;
    tries.push(events.map(({ type, end }) => `${type} ${end ?? ''}`).join(' '));
  }
  throw new Error(`no claim was committed unheard: ${tries.join('; ')}`);
}

async function askedAndUnheard(bench: Bench): Promise<string[]> {
  const { fleet } = bench;
  const workers = await bench.stopWorkers();
  const wires = workers.map(({ name }) => fleet.wires.get(name)!.postgres);
  const asked = await bench.asks(8, { retry: 'never' });
  const lock = fleet.impairments.during('postgres', 'refusing', () => lockedUntilCancelled(fleet));
  // Before a worker goes on: else claims are through, and it is their outcomes that wait.
  await until('the lock is held', async () => {
    const held = `SELECT 1 FROM pg_locks l JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND objid = 7301 AND granted AND query = '${LOCK}'`;
    return (await fleet.query(held)).length > 0;
  });
  for (const one of workers) one.signal('SIGCONT');
  await until('claims wait for the lock', async () => {
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND application_name LIKE 'worker-%'`;
    return (await fleet.query(waiting)).length > 0;
  });
  for (const wire of wires) wire.cut();
  // The sweepers: however long a worker takes to come back, its claims are not given up before its word is read.
  for (const one of fleet.byService('command-api')) one.signal('SIGSTOP');
  const ended = workers.map((one) => one.restart());
  await fleet.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = '${LOCK}'`);
  await lock;
  const codes = await Promise.all(ended);
  for (const wire of wires) wire.mend();
  await until(
    'no attempt of theirs is open',
    async () => {
      const open = `SELECT 1 FROM outbox WHERE prompt_id = ANY($1) AND state = 'open' AND token IS NOT NULL`;
      return (await fleet.query(open, [asked])).length === 0;
    },
    30_000,
  );
  await bench.clean();
  if (codes.some((code) => code !== 0)) throw new Error(`exit codes ${codes}`);
  return asked;
}

/** What has not expired by Postgres' clock is accepted and may be redriven, what has is refused, whatever processes believe. */
async function expiries({ asks, clients, users, fleet }: Bench): Promise<void> {
  const expiringIn = (ms: number) => ({ expiresAt: new Date(Date.now() + ms).toISOString() });
  const refused = await clients.ask(users[0]!, { fields: expiringIn(-600_000) });
  if (refused.status !== 400) throw new Error(`what expired ten minutes ago was answered with ${refused.status}`);
  const failing = async (ms: number) => {
    const key = newId();
    const asked = await clients.ask(users[0]!, { key, fields: expiringIn(ms), emulate: { fault: 'safety' } });
    const last = `SELECT type FROM event WHERE stream_id = $1 ORDER BY version DESC LIMIT 1`;
    await until('it failed', async () => (await fleet.query(last, [asked.promptId]))[0]?.['type'] === 'PromptFailed');
    return asked.promptId!;
  };
  const [lasting, ending] = await Promise.all([
    failing(600_000),
    failing(4_000),
    asks(4, { fields: expiringIn(600_000), emulate: { delayMs: 100 } }),
  ]);
  const again = await clients.retry(users[0]!, lasting);
  if (again.status !== 202) throw new Error(`a redrive ten minutes before its end was answered with ${again.status}`);
  await pause(4_000);
  const late = await clients.retry(users[0]!, ending);
  if (late.status !== 409) throw new Error(`a redrive after its end was answered with ${late.status}`);
}

async function powerCut({ fleet }: Bench): Promise<void> {
  for (const one of fleet.supervisor.instances()) one.signal('SIGKILL');
  await Promise.all([fleet.postgres.kill(), fleet.redis.kill()]);
  await Promise.all([fleet.postgres.start(), fleet.redis.start()]);
}

/** Everything starts again with a clock that is so far off, works, and ends what it was asked. */
async function bootedWithClockOff(bench: Bench, skewMs: number): Promise<void> {
  const instances = bench.fleet.supervisor.instances();
  const env = { BOOT_SKEW_MS: String(skewMs) };
  const codes = await Promise.all(instances.map((one) => one.restart({ env })));
  if (codes.some((code) => code !== 0)) throw new Error(`exit codes ${codes}`);
  await bench.fleet.up();
  const asked = await bench.work();
  await until('all of it is completed', async () => {
    const types = await bench.typesOf(asked);
    return types.every((all) => all.at(-1) === 'PromptCompleted');
  });
}

export const processCases: Case[] = [
  ...['command-api', 'worker', 'projector', 'query-api'].map(killed),
  ...['command-api', 'worker', 'projector', 'query-api'].map((service) => restarted(service, 200)),
  restarted('worker', 3_000),
  {
    name: 'D8 told to stop while both servers are away: every process ends with 0, within its grace',
    run: async (bench) => {
      const { fleet } = bench;
      await bench.fault('stopped without servers', ['machine'], async () => {
        const asked = bench.asks(8, { emulate: { delayMs: 600 } });
        await pause(350);
        for (const pair of fleet.wires.values()) {
          pair.postgres.cut();
          pair.redis?.cut();
        }
        await pause(600);
        const begun = performance.now();
        const codes = await Promise.all(fleet.supervisor.instances().map((one) => one.restart()));
        const seconds = (performance.now() - begun) / 1000;
        await fleet.heal();
        await asked;
        if (codes.some((code) => code !== 0)) throw new Error(`exit codes ${codes}`);
        if (seconds > 11) throw new Error(`it took ${seconds.toFixed(1)} s, the grace is 10 s`);
      });
      await bench.clean();
    },
  },
  {
    name: 'D8 told to stop while claims are unanswered: word is left that nobody was called, and `never` is asked',
    run: (bench) =>
      bench.fault('stopped without answers', ['worker', 'postgres', 'command-api'], () => stoppedUnanswered(bench)),
  },
  {
    name: 'D9 rolling restart of everything under load',
    isLong: true,
    run: async (bench) => {
      const load = bench.clients.load(10);
      await bench.fault('rolling restart', ['worker'], () => rollingRestart(bench));
      await load.stop();
      await bench.clean();
    },
  },
  {
    name: 'I-2 power cut under load',
    isLong: true,
    run: async (bench) => {
      const load = bench.clients.load(50);
      await pause(800);
      await bench.fault('power cut', ['machine'], () => powerCut(bench));
      await pause(1_000);
      await load.stop();
      await bench.clean();
    },
  },
  amid('D3 a worker’s event loop blocked for longer than a lease', ['worker'], async (bench) => {
    const reached = bench.arm(bench.fleet.byService('worker'), 'worker.claimed', 'spin', bench.leaseMs * 1.6);
    const asked = bench.work();
    await within('a worker spins', 10_000, reached);
    await asked;
  }),
  amid('D7 an exception nobody catches', ['worker'], async (bench) => {
    const reached = bench.arm(bench.fleet.byService('worker'), 'worker.claimed', 'crash');
    const asked = bench.work();
    await within('a worker crashes', 10_000, reached);
    await asked;
  }),
  amid('D15 workers without a file descriptor to spare, for two seconds', ['worker'], async ({ fleet, asks }) => {
    const workers = fleet.byService('worker');
    const limit = (pid: number, files: string) =>
      execFileSync('prlimit', ['--pid', String(pid), `--nofile=${files}`], { stdio: 'pipe' });
    const before = workers.map(({ pid }) => {
      const [, soft, hard] = /Max open files +(\d+) +(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))!;
      return { pid: pid!, was: `${soft}:${hard}`, least: `${readdirSync(`/proc/${pid}/fd`).length}:${hard}` };
    });
    const fed = workers.map(({ name, pid }) => fleet.impairments.begin(name, 'starved', pid));
    for (const { pid, least } of before) limit(pid, least);
    const asked = asks(20, { emulate: { delayMs: 100 } });
    await pause(2_000);
    for (const { pid, was } of before) limit(pid, was);
    for (const end of fed) end();
    await asked;
  }),
  amid(
    'B4 the leading relay stopped until another leads, then continued',
    ['command-api'],
    async ({ fleet, leaseMs }) => {
      const leading = async () => {
        const [leader] = await fleet.query<{ name: string }>(
          `SELECT application_name AS name FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory' AND l.objid = 7302 AND l.granted`,
        );
        return fleet.byService('command-api').find(({ pid }) => leader?.name.includes(`-${pid}-`));
      };
      const instance = await until('one of ours leads', leading, 10_000);
      instance.signal('SIGSTOP');
      await pause(Math.max(4_500, leaseMs * 2));
      instance.signal('SIGCONT');
    },
  ),
  ...[3_600_000, -3_600_000].map((skewMs) =>
    amid(`D10 every process believes it is ${skewMs > 0 ? 'an hour later' : 'an hour earlier'}`, [], async (bench) => {
      await bench.fleet.up();
      for (const one of bench.fleet.supervisor.instances()) one.send({ skewMs });
      await Promise.all([bench.asks(10, { emulate: { delayMs: 100 } }), expiries(bench)]);
      await pause(1_000);
    }),
  ),
  {
    name: 'I-6 every process starts with a clock an hour ahead, then with one an hour behind',
    run: async (bench) => {
      await bench.fault('wrong clocks at start', ['machine'], async () => {
        for (const skewMs of [3_600_000, -3_600_000, 0]) await bootedWithClockOff(bench, skewMs);
      });
      await bench.clean();
    },
  },
  {
    name: 'D2 the failure of an attempt that was given up comes late, and only its cost counts',
    run: (bench) => bench.fault('a worker stopped', ['worker'], () => failsLate(bench)),
  },
  {
    name: 'D11 cancels race with completions',
    run: async (bench) => {
      await bench.fault('cancels', [], async () => {
        const sent = await Promise.all(
          Array.from({ length: 60 }, async (_, i) => {
            const user = bench.users[i % bench.users.length]!;
            const { promptId } = await bench.clients.ask(user, {
              key: `cancel-${Date.now()}-${i}`,
              emulate: { delayMs: i * 3 },
            });
            await pause(i * 3);
            return bench.clients.cancel(user, promptId!);
          }),
        );
        const told = new Set(sent.map(({ status }) => status));
        if (!told.has(202)) throw new Error(`no cancel was in time: ${[...told]}`);
      });
      await bench.clean();
    },
  },
  {
    name: 'D12 prompts expire in the queue while no worker is there',
    run: async (bench) => {
      await bench.fault('no worker', ['worker'], async () => {
        const workers = await bench.stopWorkers();
        const expiresAt = new Date(Date.now() + 1_500).toISOString();
        const asked = await bench.asks(10, { fields: { expiresAt } });
        await pause(3_000);
        for (const worker of workers) worker.signal('SIGCONT');
        await bench.clean();
        for (const id of asked) {
          const types = await bench.types(id);
          if (types.at(-1) !== 'PromptExpired') throw new Error(`${id}: ${types}`);
        }
      });
    },
  },
  {
    name: 'H3 the query-api killed with its feeds, three times',
    run: async (bench) => {
      await bench.fault('query-api killed', ['query-api'], async () => {
        for (let i = 0; i < 3; i += 1) {
          const asked = bench.asks(10);
          const [api] = bench.fleet.byService('query-api');
          api!.signal('SIGKILL');
          await asked;
          await api!.ready();
        }
      });
      await bench.clean();
    },
  },
  {
    name: 'I-3 services up before their servers',
    run: async (bench) => {
      const { fleet } = bench;
      await bench.fault('started in the wrong order', ['machine'], async () => {
        const asked = bench.asks(10, { emulate: { delayMs: 300 } });
        await pause(100);
        await Promise.all([fleet.postgres.kill(), fleet.redis.kill()]);
        for (const one of fleet.supervisor.instances()) one.signal('SIGKILL');
        await pause(2_500); // they are started, and find nobody
        await fleet.redis.start();
        await pause(500);
        await fleet.postgres.start();
        await asked;
      });
      await bench.clean();
    },
  },
];

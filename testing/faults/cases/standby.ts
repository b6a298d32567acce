/**
 * A9, A10, H10: a standby that lags, is cut off, takes the place of the primary, and a primary that comes back. On a
 * fleet with a standby, in this order: what one of them leaves is where the next one begins.
 */
import assert from 'node:assert/strict';
import pg from 'pg';
import { createKey } from '../../../platform/postgres/api-keys.ts';
import { openAsStream } from '../event-stream.ts';
import type { Operation } from '../evidence.ts';
import type { Fleet } from '../fleet.ts';
import type { Server } from '../servers.ts';
import { followOver, STANDBY, type Standby } from '../standby.ts';
import { type Bench, type Case, pause, until } from './bench.ts';

function standbyOf({ standby }: Fleet): Standby {
  if (!standby) throw new Error('the fleet has no standby');
  return standby;
}
const postgresWires = ({ fleet }: Bench, service = '') =>
  [...fleet.wires].filter(([name]) => name.startsWith(service)).map(([, { postgres }]) => postgres);
const refusing = <T>({ fleet }: Bench, work: () => Promise<T>) =>
  fleet.impairments.during('postgres', 'refusing', work);
const completed = async (bench: Bench, promptIds: string[]): Promise<boolean> =>
  (await bench.typesOf(promptIds)).every((types) => types.includes('PromptCompleted'));
const called = (bench: Bench, promptIds: string[]) => () => promptIds.every((promptId) => bench.calls([promptId]) > 0);

/** Asks of now that have no key: each is answered once, or not. */
const askOnce = ({ clients, users }: Bench, n: number): Promise<Operation[]> =>
  Promise.all(Array.from({ length: n }, (_, i) => clients.ask(users[i % users.length]!)));

/** None was accepted, and whoever got an answer was told when to come again. */
function allRefused(asks: Operation[]): void {
  assert.deepEqual(
    asks.filter(({ status, retryAfter }) => status !== null && !(status === 503 && retryAfter)),
    [],
  );
}

async function getJson(fleet: Fleet, path: string, key: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${fleet.queryApis[0]}${path}`, { headers: { authorization: `Bearer ${key}` } });
  assert.equal(response.status, 200, path);
  return (await response.json()) as Record<string, unknown>;
}

async function newKey(fleet: Fleet, userId: string): Promise<string> {
  const client = new pg.Client({ connectionString: fleet.postgres.uri });
  await client.connect();
  try {
    return (await createKey(client, { userId, role: 'user', name: 'made just now', expiresAt: null })).key;
  } finally {
    await client.end();
  }
}

const lagging: Case = {
  name: 'H10 the replica is paused: reads say how old they are, or wait, and decide nothing',
  run: async (bench) => {
    const { clients, fleet } = bench;
    const standby = standbyOf(fleet);
    const [user] = bench.users as [string];
    const ask = (name: string) =>
      clients.ask(user, { key: name, fields: { prompt: `canary-${user}-${name}`, model: 'gemini-2.5-flash' } });
    const read = (promptId: string, minPosition?: number) => clients.read(user, promptId, minPosition);
    const isRead = (promptId: string, minPosition?: number) => async () =>
      (await read(promptId, minPosition)).told === 'completed';

    const known = (await ask('h10-before')).promptId!;
    await until('the replica has its answer', isRead(known));
    await bench.clean();
    await standby.caughtUp();
    await standby.query('SELECT pg_wal_replay_pause()');
    await until('its replay is paused', async () => {
      const [row] = await standby.query<{ state: string }>('SELECT pg_get_wal_replay_pause_state() AS state');
      return row?.state === 'paused';
    });
    const end = await bench.fault('replica paused', ['query-api'], async () => {
      const late = await ask('h10-during');
      const promptId = late.promptId!;
      await until('it is answered', () => completed(bench, [promptId]));
      await bench.clean();
      const [row] = await fleet.query<{ head: number }>('SELECT position::integer AS head FROM log_head');
      const { head } = row!;

      assert.deepEqual([(await read(known)).told, (await read(promptId)).told], ['completed', 'queued']);
      const waited = await read(promptId, head);
      assert.deepEqual([waited.status, waited.code, waited.retryAfter !== null], [503, 'read_model_behind', true]);
      const stats = await getJson(fleet, '/stats/users', fleet.users.find(({ name }) => name === user)!.key);
      const health = (await getJson(fleet, '/health', '')) as { replica: { lag: number; position: number } };
      assert.deepEqual(
        [stats['position'], health.replica.position],
        [head - health.replica.lag, head - health.replica.lag],
      );
      assert.ok(health.replica.lag > 0);

      // What decides is asked of the primary: the key of an ask, the state of a prompt, a credential.
      const again = await ask('h10-during');
      assert.deepEqual([again.promptId, again.replayed], [promptId, true]);
      assert.equal((await clients.cancel(user, promptId)).status, 409);
      await getJson(fleet, `/prompts/${known}`, await newKey(fleet, user));
      return { promptId, head };
    });
    await standby.query('SELECT pg_wal_replay_resume()');
    await until('the replica has caught up', isRead(end.promptId, end.head));
    await bench.clean();
  },
};

async function waitedFor({ fleet }: Bench): Promise<void> {
  await until('the standby is waited for', async () => {
    const [row] = await fleet.query<{ state: string }>('SELECT sync_state AS state FROM pg_stat_replication');
    return row?.state === 'sync';
  });
}

/** Backends whose commits wait for the standby: `end` is what breaks off their waiting. */
async function breakWaits({ fleet }: Bench, end: 'pg_cancel_backend' | 'pg_terminate_backend'): Promise<void> {
  await until(`${end} of a commit that waits`, async () => {
    const rows = await fleet.query(`SELECT ${end}(pid) FROM pg_stat_activity
      WHERE wait_event = 'SyncRep' AND application_name LIKE '%-append'`);
    return rows.length > 0;
  });
}

const alone: Case = {
  name: 'A9 synchronous: nobody takes the log, and nothing is acknowledged',
  run: async (bench) => {
    const { clients, fleet } = bench;
    const standby = standbyOf(fleet);
    await fleet.query(`ALTER SYSTEM SET synchronous_standby_names = '${STANDBY}'`);
    await fleet.query('SELECT pg_reload_conf()');
    await waitedFor(bench);
    await bench.work();
    await bench.fault('standby cut off', ['postgres'], () =>
      refusing(bench, async () => {
        await standby.cut();
        const from = clients.operations.length;
        const kept = bench.asks(8); // asked again until they are answered
        kept.catch(() => {}); // awaited below
        const once = askOnce(bench, 4);
        await breakWaits(bench, 'pg_cancel_backend');
        allRefused(await once);
        await breakWaits(bench, 'pg_terminate_backend');
        await bench.fleet.postgres.kill();
        await bench.fleet.postgres.start();
        standby.link.retarget(fleet.postgres.uri);
        await breakWaits(bench, 'pg_cancel_backend');
        allRefused(await askOnce(bench, 4));
        allRefused(clients.operations.slice(from).filter(({ kind, completedAt }) => kind === 'ask' && completedAt > 0));
        standby.link.mend();
        await kept;
      }),
    );
    await bench.clean();
  },
};

const accepted = ({ clients }: Bench, from: number): number =>
  clients.operations.slice(from).filter(({ kind, outcome }) => kind === 'ask' && outcome === 'ok').length;
const MANY = 20;
/** Also on a machine that is busy with other things. */
const LOAD_WITHIN_MS = 30_000;

async function takeOver({ fleet }: Bench): Promise<void> {
  const standby = standbyOf(fleet);
  await fleet.postgres.kill();
  await standby.promote();
  fleet.failOver(standby.server);
}

/** `former`: the server that was the primary. */
const failover = (lost: (former: Server) => void): Case => ({
  name: 'A9 synchronous: the primary dies under load, and the standby takes its place',
  run: async (bench) => {
    const { clients, fleet } = bench;
    await waitedFor(bench);
    lost(fleet.postgres);
    const load = clients.load(20);
    try {
      let from = clients.operations.length;
      await until('many are accepted', () => accepted(bench, from) > MANY, LOAD_WITHIN_MS);
      await bench.fault('failover', ['postgres'], () => takeOver(bench));
      from = clients.operations.length;
      await until('many are accepted again', () => accepted(bench, from) > MANY, LOAD_WITHIN_MS);
    } finally {
      await load.stop();
    }
    await bench.clean();
  },
});

const splitBrain = (former: () => Server): Case => ({
  name: 'A10 the old primary comes back as it was, and takes nothing for which it has no standby',
  run: async (bench) => {
    const { fleet } = bench;
    const apis = postgresWires(bench, 'command-api');
    await bench.fault('two primaries', ['command-api'], async () => {
      await former().start();
      for (const wire of apis) wire.retarget(former().uri);
      allRefused(await askOnce(bench, 8));
      allRefused(await askOnce(bench, 8));
      for (const wire of apis) wire.retarget(fleet.postgres.uri);
      await former().kill();
      former().replaced();
    });
    await bench.work();
    await bench.clean();
  },
});

const readOnly = (former: () => Server): Case => ({
  name: 'A10 the old primary comes back as a standby, and the services still go there',
  run: async (bench) => {
    const { fleet } = bench;
    await bench.work();
    await followOver(fleet.dir, fleet.postgres.uri);
    await former().start();
    await bench.fault('services at a standby', ['postgres'], () =>
      refusing(bench, async () => {
        const before = bench.asks(8, { emulate: { delayMs: 400 } });
        await until('they are called', called(bench, await before));
        for (const wire of postgresWires(bench)) wire.retarget(former().uri);
        allRefused(await askOnce(bench, 8));
        await pause(bench.leaseMs);
        allRefused(await askOnce(bench, 8));
        // As when a name is given its new address: nothing ends the connections that were made before.
        for (const wire of postgresWires(bench)) wire.redirect(fleet.postgres.uri);
        await bench.work();
      }),
    );
    await bench.clean();
    await former().stop();
  },
});

/** Whose history breaks no invariant. */
export function standbyCases(): Case[] {
  let former: Server | null = null;
  const theFormer = () => former ?? assert.fail('there was no failover');
  return [
    lagging,
    alone,
    failover((server) => {
      former = server;
    }),
    splitBrain(theFormer),
    readOnly(theFormer),
  ];
}

/** Whoever connects now is shown what comes now, though the feed had shown later positions of the log that was. */
async function followed({ clients, fleet, users }: Bench): Promise<void> {
  const [user] = users as [string];
  const { key } = fleet.users.find(({ name }) => name === user)!;
  const [row] = await fleet.query<{ head: number }>('SELECT position::integer AS head FROM log_head');
  const url = `${fleet.queryApis[0]}/live/events`;
  const stream = openAsStream({ url, user, key, after: row!.head, ms: 2_500 });
  const { promptId, position } = await clients.ask(user, { key: 'followed' });
  const read = await clients.read(user, promptId!, position!);
  assert.deepEqual([read.status, read.position !== null && read.position >= position!], [200, true]);
  const frames = (await stream)?.frames.filter((frame) => frame.promptId === promptId) ?? [];
  assert.equal(frames.at(-1)?.status, 'completed');
}

/** The checker must name those that `onLost` is told of, and no others, as lost (I1). */
export const lossyFailover = (onLost: (promptIds: string[]) => void): Case => ({
  name: 'A9 asynchronous: the end of the log goes with the primary, and all else goes on',
  run: async (bench) => {
    const { fleet } = bench;
    const standby = standbyOf(fleet);
    await bench.work();
    await bench.clean();
    // Their submissions are on the standby, their attempts are not.
    const half = await bench.asks(3, { fields: { notBefore: new Date(Date.now() + 1_500).toISOString() } });
    await standby.caughtUp();
    await standby.cut();
    await bench.fault('failover', ['postgres'], async () => {
      const ended = await bench.asks(4);
      await until('these are answered', () => completed(bench, ended));
      await until('the others are called', called(bench, half));
      const running = await bench.asks(4, { emulate: { delayMs: 1_500 } });
      await until('these are called', called(bench, running));
      onLost([...ended, ...running]);
      await takeOver(bench);
      const later = [...half, ...(await bench.work())];
      await until('those that are left and those that come are answered', () => completed(bench, later));
      await followed(bench);
    });
    await bench.clean();
  },
});

/**
 * I-4: Postgres is put back to what it held before, as from a backup, and Redis is not. What clients were told in the time
 * that is lost, and what the provider was asked then, is not held against the log that has lost it; all else is.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../kit/random.ts';
import { type Bench, createBench, pause, until } from './cases/bench.ts';
import { type AskOptions, type Clients, createClients } from './clients.ts';
import { openAsStream } from './event-stream.ts';
import type { Evidence, InjectedFault, Operation } from './evidence.ts';
import { type Feeds, openFeeds } from './feeds.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { dumpState } from './quiet.ts';
import { conclude, observe } from './run.ts';

const SEED = 4;
const LEASE_SECONDS = 1.5;
const COUNTS = { 'command-api': 1, worker: 2, projector: 1, 'query-api': 1 };
/** Of a call that lasts until Postgres is put back; less than its deadline. */
const LONG_MS = 3_500;

type Asked = { user: string; promptId: string };
/** What the older Postgres has. */
type Kept = {
  at: number;
  running: Asked[];
  /** Waiting, since their models are parked; in the time that is lost the first are answered, and the second are called. */
  short: Asked[];
  long: Asked[];
  /** Data folder of the copy, and where it belongs. */
  copy: string;
  folder: string;
};
/** What is lost with the newer one. */
type Lost = { head: number; asks: Operation[]; repeated: Operation; tokens: Map<string, string> };
/** When nothing of the lost time ran any more, and what it left in the spools. */
type Back = { at: number; held: string[] };

/** Nothing of a model is dispatched while it is parked: prompts of these wait until they are let go. */
const SHORT_MODEL = 'gemini-2.5-flash-lite';
const LONG_MODEL = 'gemini-2.0-flash';
const hold = ({ fleet }: Bench) =>
  fleet.query(
    `INSERT INTO parked_model (model, reason, until) SELECT unnest($1::text[]), 'held', clock_timestamp() + interval '1 hour'`,
    [[SHORT_MODEL, LONG_MODEL]],
  );
const letGo = ({ fleet }: Bench, model: string) => fleet.query('DELETE FROM parked_model WHERE model = $1', [model]);

async function asked(clients: Clients, users: string[], n: number, options: AskOptions): Promise<Asked[]> {
  return Promise.all(
    Array.from({ length: n }, async (_, i) => {
      const user = users[i % users.length]!;
      const { promptId, status } = await clients.ask(user, { ...options, retry: i % 2 === 0 ? 'auto' : 'never' });
      if (!promptId) throw new Error(`an ask was answered ${status}`);
      return { user, promptId };
    }),
  );
}
const idsOf = (those: Asked[]): string[] => those.map(({ promptId }) => promptId);

const areCalled = (bench: Bench, those: Asked[]): boolean => those.every(({ promptId }) => bench.calls([promptId]) > 0);

/** A copy of the data folder, as a disk that is photographed: taken from under a server that was not told. */
async function photographed(bench: Bench): Promise<Kept> {
  const { fleet, clients, users } = bench;
  const [row] = await fleet.query<{ data_directory: string }>('SHOW data_directory');
  const folder = row!.data_directory;
  const copy = `${folder}-older`;
  const short = await asked(clients, users, 6, { fields: { model: SHORT_MODEL } });
  const long = await asked(clients, users, 4, { fields: { model: LONG_MODEL }, emulate: { delayMs: LONG_MS } });
  const running = await asked(clients, users, 6, { emulate: { delayMs: LONG_MS } });
  await until('the others are called', () => areCalled(bench, running));
  const at = Date.now();
  await fleet.postgres.kill();
  execFileSync('cp', ['-a', folder, copy]);
  await fleet.postgres.start();
  return { at, running, short, long, copy, folder };
}

const completed = async ({ fleet }: Bench, ids: string[]): Promise<number> =>
  (await fleet.query(`SELECT 1 FROM event WHERE type = 'PromptCompleted' AND stream_id = ANY($1)`, [ids])).length;

/** The usual work, and what was open is answered and in the cache; then prompts, kept and lost ones, are being called. */
async function workThatIsLost(bench: Bench, kept: Kept): Promise<Lost> {
  const { fleet, users } = bench;
  const clients = createClients(fleet, createRandom(SEED + 1));
  await letGo(bench, SHORT_MODEL);
  const load = clients.load(30);
  await pause(2_000);
  const repeated = await clients.ask(users[0]!, { key: 'asked-in-both' });
  await load.stop();
  const answered = [...kept.short, ...kept.running];
  const waited = idsOf(kept.short);
  await until('what had waited is answered', async () => (await completed(bench, waited)) === waited.length, 30_000);
  await until('it is in the cache', async () => {
    await Promise.all(answered.map(({ user, promptId }) => clients.read(user, promptId)));
    const keys = await bench.redis((redis) => redis.keys('cache:prompt:*'));
    return waited.every((id) => keys.some((key) => key.endsWith(id)));
  });
  await letGo(bench, LONG_MODEL);
  const inFlight = await asked(clients, users, 4, { emulate: { delayMs: LONG_MS } });
  await until('what is to last is called', () => areCalled(bench, [...kept.long, ...inFlight]));
  const open = await heldInSpools(bench, [kept.long, inFlight]);
  await until('what came of the calls is in the spools', () => spoolFiles(fleet).length >= open, 10_000);
  const [head] = await fleet.query<{ position: number }>('SELECT position FROM log_head');
  const tokens = await tokensOf(fleet, [...kept.short, ...kept.long]);
  const asks = clients.operations.filter(({ kind, promptId }) => kind === 'ask' && promptId !== null);
  return { head: head!.position, asks, repeated, tokens };
}

/** From now on no worker records anything: so many attempts are open. Some of each kind, or there is nothing to look at. */
async function heldInSpools({ fleet }: Bench, kinds: Asked[][]): Promise<number> {
  for (const { name } of fleet.byService('worker')) fleet.wires.get(name)!.postgres.cut();
  const open = await Promise.all(
    kinds.map((those) =>
      fleet.query('SELECT 1 FROM outbox WHERE token IS NOT NULL AND prompt_id = ANY($1)', [idsOf(those)]),
    ),
  );
  if (open.some((rows) => rows.length === 0)) throw new Error('calls had ended before their workers were cut off');
  return open.flat().length;
}

/** By prompt, of its first attempt. */
async function tokensOf(fleet: Fleet, those: Asked[]): Promise<Map<string, string>> {
  const rows = await fleet.query<{ id: string; token: string }>(
    `SELECT stream_id AS id, data ->> 'token' AS token FROM event
      WHERE type = 'AttemptStarted' AND data ->> 'attempt' = '1' AND stream_id = ANY($1)`,
    [idsOf(those)],
  );
  return new Map(rows.map(({ id, token }) => [id, token]));
}

const spoolFiles = ({ dir }: Fleet): string[] =>
  readdirSync(join(dir, 'spool'))
    .flatMap((worker) => readdirSync(join(dir, 'spool', worker)))
    .filter((file) => file.endsWith('.answer'))
    .sort();

/** Every service ends with the newer Postgres; Redis stays as it is. */
async function putBack(bench: Bench, { copy, folder }: Kept): Promise<Back> {
  const { fleet } = bench;
  await fleet.postgres.kill();
  const instances = fleet.supervisor.instances();
  const starts = instances.map((one) => one.starts);
  for (const one of instances) one.signal('SIGKILL');
  await until('they have ended', () => instances.every((one, i) => one.starts > starts[i]! || !one.isUp));
  const back = { at: Date.now(), held: spoolFiles(fleet) };
  rmSync(folder, { recursive: true });
  renameSync(copy, folder);
  await fleet.postgres.start();
  await fleet.heal();
  for (const model of [SHORT_MODEL, LONG_MODEL]) await letGo(bench, model);
  return back;
}

/** Past the record of the clients. */
async function statusOf(fleet: Fleet, user: string, path: string): Promise<string> {
  const { key } = fleet.users.find(({ name }) => name === user)!;
  const response = await fetch(`${fleet.queryApis[0]}${path}`, { headers: { authorization: `Bearer ${key}` } });
  const { code } = (await response.json()) as { code?: string };
  return `${response.status} ${code ?? ''}`.trim();
}

/** Whoever comes with what is lost is told so, and nobody works on it. */
async function nobodyIsLedOn(bench: Bench, kept: Kept, lost: Lost): Promise<void> {
  const { fleet, clients } = bench;
  const { name, key } = fleet.users[0]!;
  const stream = { url: `${fleet.queryApis[0]}/live/events`, user: name, key, after: lost.head, ms: 1_000 };
  const first = (await openAsStream(stream))?.frames.find(({ type }) => type !== 'hello');
  if (first?.type !== 'resync' || first.position! >= lost.head)
    throw new Error(`a feed after ${lost.head} was sent ${JSON.stringify(first)}`);
  const behind = await statusOf(fleet, name, `/prompts?minPosition=${lost.head}`);
  if (behind !== '503 read_model_behind') throw new Error(`a read of ${lost.head} was answered ${behind}`);
  for (const { user, promptId } of lost.asks.slice(-5)) {
    const told = await statusOf(fleet, user, `/prompts/${promptId}`);
    if (told !== '404 not_found') throw new Error(`${promptId}, which is lost, was answered ${told}`);
  }
  // Nobody tells what became of them in the time that is lost, though the cache of that time is there.
  await Promise.all([...kept.short, ...kept.running].map(({ user, promptId }) => clients.read(user, promptId)));
  const again = await clients.ask(lost.repeated.user, { key: lost.repeated.key! });
  if (again.outcome !== 'ok' || again.replayed) throw new Error(`a key that is lost was answered ${again.status}`);
}

async function expectFenced(bench: Bench, kept: Kept, lost: Lost, back: Back): Promise<void> {
  const { fleet } = bench;
  const waited = [...kept.short, ...kept.long];
  const tokens = await tokensOf(fleet, waited);
  for (const id of idsOf(waited)) {
    const [then, now] = [lost.tokens.get(id), tokens.get(id)];
    if (!then || !now || then === now) throw new Error(`attempt 1 of ${id} began with ${then}, and again with ${now}`);
  }
  const ids = new Set(lost.asks.map(({ promptId }) => promptId));
  const late = fleet.emulator.billing
    .entries()
    .filter(({ at, attemptId }) => Date.parse(at) > back.at && ids.has(attemptId?.split('/')[0] ?? ''));
  if (late.length > 0) throw new Error(`the provider was called for ${late.map(({ attemptId }) => attemptId)}`);
  const left = spoolFiles(fleet);
  if (left.join() !== back.held.join()) throw new Error(`the spools had ${back.held}, and now ${left}`);
  const said = readdirSync(fleet.logDir).map((file) => readFileSync(join(fleet.logDir, file), 'utf8'));
  if (!said.some((text) => text.includes('this log does not know the attempt')))
    throw new Error('no worker told of answers to what is lost');
}

export const OLDER_POSTGRES = 'I-4 an older Postgres with a newer Redis';

/** Rejects when it does not come to what is to be judged. */
export async function runOlderPostgres(onStuck: (state: string) => void): Promise<Evidence> {
  const fleet = await startFleet({ counts: COUNTS, slots: 30, leaseSeconds: LEASE_SECONDS });
  try {
    const startedAt = Date.now();
    const observed = observe(fleet, SEED);
    const faults: InjectedFault[] = [];
    const bench = createBench(fleet, observed.clients, faults, LEASE_SECONDS * 1000);
    await hold(bench); // long before what it is for: the relay looks now and then
    await workFor(bench, 1_500);
    await bench.clean();
    // What they are sent from here on may be of what is lost.
    observed.feeds.close();
    const { kept, back, feeds } = await bench.fault('put back', ['postgres'], () => thereAndBack(bench));
    const whole: Feeds = {
      ...feeds,
      get connections() {
        return [...observed.feeds.connections, ...feeds.connections];
      },
    };
    const plan = { kind: 'matrix', cases: 1 } as const;
    const evidence = await conclude({ ...observed, feeds: whole }, { plan, seed: SEED, startedAt, faults, onStuck });
    await fleet.stop(); // whoever does not end with 0 now is in the list, too
    return {
      ...evidence,
      calls: evidence.calls.filter(({ at }) => at <= kept.at || at >= back.at),
      unexpectedExits: fleet.supervisor.unexpectedExits,
    };
  } catch (error) {
    onStuck(await dumpState(fleet).catch(String)); // Postgres may be away just now
    throw error;
  } finally {
    await fleet.stop();
  }
}

async function workFor({ clients }: Bench, ms: number): Promise<void> {
  const load = clients.load(30);
  await pause(ms);
  await load.stop();
}

async function thereAndBack(bench: Bench): Promise<{ kept: Kept; back: Back; feeds: Feeds }> {
  const kept = await photographed(bench);
  const lost = await workThatIsLost(bench, kept);
  const back = await putBack(bench, kept);
  await nobodyIsLedOn(bench, kept, lost);
  const feeds = openFeeds(bench.fleet, createRandom(SEED + 2), bench.clients.failed);
  await workFor(bench, 2_000);
  await bench.clean();
  await expectFenced(bench, kept, lost, back);
  return { kept, back, feeds };
}

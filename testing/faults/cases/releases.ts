/** D9, I-5, I-8: the next release beside this one, under load, and back; and in the wrong order. */
import { readlinkSync } from 'node:fs';
import type { AskOptions } from '../clients.ts';
import type { Fleet } from '../fleet.ts';
import { CHANGED, type NextRelease } from '../next-release.ts';
import type { Instance } from '../supervisor.ts';
import { type Bench, type Case, until } from './bench.ts';

/** Who reads comes before who writes (doc/how-to/add-a-field-to-an-event.md); on the way back the other way round. */
const READERS_FIRST = ['projector', 'query-api', 'worker', 'command-api'];
const inOrder = (fleet: Fleet, services = READERS_FIRST): Instance[] => services.flatMap(fleet.byService);

/** The same instance as a process of the release at `root`. */
async function replaced(instance: Instance, root: string): Promise<void> {
  const code = await instance.restart({ folder: root });
  if (code !== 0) throw new Error(`${instance.name} ended with ${code}`);
  await instance.ready();
  const runsIn = readlinkSync(`/proc/${instance.pid}/cwd`);
  if (runsIn !== root) throw new Error(`${instance.name} runs in ${runsIn}, and not in ${root}`);
}

const migrated = ({ fleet }: Bench, next: NextRelease) => next.tool(fleet.postgres.uri, 'cli/migrate.ts');

async function count({ fleet }: Bench, what: string, values: unknown[] = []): Promise<number> {
  const [row] = await fleet.query<{ n: number }>(`SELECT count(*)::integer AS n FROM ${what}`, values);
  return row!.n;
}
const cancelledBy = (bench: Bench, schemaVersion: number) =>
  count(bench, 'event WHERE type = $1 AND schema_version = $2', [CHANGED.type, schemaVersion]);
const completed = (bench: Bench) => count(bench, `event WHERE type = 'PromptCompleted'`);

type Asked = { user: string; promptId: string };

let asks = 0;
/** Of users in turn; each is accepted. */
const accepted = (bench: Bench, n: number, options: AskOptions): Promise<Asked[]> =>
  Promise.all(
    Array.from({ length: n }, async (_, i) => {
      asks += 1;
      const user = bench.users[i % bench.users.length]!;
      const { promptId, status } = await bench.clients.ask(user, { key: `release-${asks}`, ...options });
      if (!promptId) throw new Error(`an ask was answered ${status}`);
      return { user, promptId };
    }),
  );

async function cancelled(bench: Bench, those: Asked[]): Promise<void> {
  const told = await Promise.all(those.map(({ user, promptId }) => bench.clients.cancel(user, promptId)));
  const odd = told.find(({ status }) => status !== 202);
  if (odd) throw new Error(`a cancel was answered ${odd.status} ${odd.code}`);
}

/** Past the record of the clients, at one address: what it answered. */
async function answerOf({ fleet }: Bench, user: string, url: string, method: 'GET' | 'POST'): Promise<string> {
  const key = fleet.users.find(({ name }) => name === user)!.key;
  const headers = { authorization: `Bearer ${key}`, ...(method === 'POST' && { 'content-type': 'application/json' }) };
  const response = await fetch(url, { method, headers, ...(method === 'POST' && { body: '{}' }) });
  const { code, status } = (await response.json()) as { code?: string; status?: unknown };
  return [response.status, code ?? status, ...(response.headers.has('retry-after') ? ['come again'] : [])].join(' ');
}
/** How a release that does not know an event answers about its prompt: neither made up, nor a fault of its own. */
const UNREADABLE = '503 unavailable come again';

async function expectAnswer(bench: Bench, user: string, at: string, method: 'GET' | 'POST', wanted: string) {
  const told = await answerOf(bench, user, at, method);
  if (told !== wanted) throw new Error(`${method} ${at} was answered ${told}, and not ${wanted}`);
}

/** Prompts are cancelled until each of the two command-apis did it; those of the next release. */
async function cancelledByBoth(bench: Bench): Promise<Asked[]> {
  const before = await cancelledBy(bench, CHANGED.schemaVersion - 1);
  const all: Asked[] = [];
  const those: Asked[] = [];
  await until(
    'both releases have cancelled prompts',
    async () => {
      const more = await accepted(bench, 4, { emulate: { delayMs: 3_000 } });
      await cancelled(bench, more);
      all.push(...more);
      const rows = await bench.fleet.query<{ id: string }>(
        'SELECT stream_id AS id FROM event WHERE type = $1 AND schema_version = $2 AND stream_id = ANY($3)',
        [CHANGED.type, CHANGED.schemaVersion, all.map(({ promptId }) => promptId)],
      );
      const ids = new Set(rows.map(({ id }) => id));
      those.splice(0, those.length, ...all.filter(({ promptId }) => ids.has(promptId)));
      return those.length >= 3 && (await cancelledBy(bench, CHANGED.schemaVersion - 1)) >= before + 3;
    },
    60_000,
  );
  return those;
}

async function goesOn(bench: Bench): Promise<void> {
  const before = await completed(bench);
  await until('20 prompts more are completed', async () => (await completed(bench)) >= before + 20, 60_000);
}

const forthAndBack = (next: NextRelease): Case => ({
  name: 'D9 the next release beside this one under load, and back',
  run: async (bench) => {
    const { fleet } = bench;
    const load = bench.clients.load(30);
    try {
      await goesOn(bench);
      await bench.fault('migrations under load', ['postgres'], async () => {
        const said = await migrated(bench, next);
        const missing = next.migrations.filter((name) => !said.includes(name));
        if (missing.length > 0) throw new Error(`not applied: ${missing}`);
        await goesOn(bench);
      });
      await bench.fault('rolling upgrade', ['worker'], async () => {
        const all = inOrder(fleet);
        const last = all.pop()!; // a command-api of this release, beside all others of the next
        for (const one of all) await replaced(one, next.root);
        const those = await cancelledByBoth(bench);
        const [ofNext, ofThis] = fleet.commandApis as [string, string];
        for (const { user, promptId } of those.slice(0, 3)) {
          await expectAnswer(bench, user, `${ofNext}/prompts/${promptId}/cancel`, 'POST', '409 wrong_state');
          await expectAnswer(bench, user, `${ofThis}/prompts/${promptId}/cancel`, 'POST', UNREADABLE);
        }
        await replaced(last, next.root);
        await goesOn(bench);
      });
      await bench.fault('rolling downgrade', ['worker'], async () => {
        for (const one of inOrder(fleet).reverse()) await replaced(one, fleet.root);
        await goesOn(bench);
        await expectReadable(bench);
      });
    } finally {
      await load.stop();
    }
    await bench.clean();
  },
});

/** What was folded while the next release was there is shown, and so are timelines, without data that are only its own. */
async function expectReadable(bench: Bench): Promise<void> {
  const rows = await bench.fleet.query<{ id: string; user: string }>(
    `SELECT stream_id AS id, data ->> 'userId' AS user FROM event WHERE type = $1 AND schema_version = $2`,
    [CHANGED.type, CHANGED.schemaVersion],
  );
  const [queryApi] = bench.fleet.queryApis;
  for (const { id, user } of rows.slice(0, 5)) {
    await expectAnswer(bench, user, `${queryApi}/prompts/${id}`, 'GET', '200 cancelled');
    await expectAnswer(bench, user, `${queryApi}/prompts/${id}/events`, 'GET', '200 ');
  }
  const parked = await count(bench, 'parked_stream');
  if (rows.length === 0 || parked > 0) throw new Error(`${rows.length} were cancelled, ${parked} are set aside`);
}

const writersFirst = (next: NextRelease): Case => ({
  name: 'D9 the next release writes before its readers are there',
  run: async (bench) => {
    const { fleet } = bench;
    await migrated(bench, next);
    for (const one of inOrder(fleet, ['query-api', 'command-api'])) await replaced(one, next.root);
    await bench.fault('writers before readers', ['worker', 'projector'], async () => {
      const queued = await cancelledInTheQueue(bench);
      const running = await cancelledInTheCall(bench);
      const strange = [...queued, ...running];
      const ids = strange.map(({ promptId }) => promptId);
      // Set aside, or held: nobody ends for them, and all others go their way.
      await until('their streams are set aside', async () => (await count(bench, 'parked_stream')) === ids.length);
      const others = await bench.work();
      await until('all others are completed', async () => (await ended(bench, others)) === others.length);
      for (const { user, promptId } of strange) {
        const { told } = await bench.clients.read(user, promptId);
        if (told !== 'cancelled') throw new Error(`${promptId} is shown as ${told}`);
      }
      const left = await count(bench, `outbox WHERE state = 'closing' AND prompt_id = ANY($1)`, [ids]);
      if (left !== running.length) throw new Error(`${left} of ${running.length} attempts are not accounted for yet`);
      for (const one of inOrder(fleet, ['projector', 'worker'])) await replaced(one, next.root);
      const said = await next.tool(fleet.postgres.uri, 'cli/parked.ts', 'replay', '--all');
      if (!said.includes(`${ids.length} replayed.`)) throw new Error(said);
      await bench.clean();
      for (const { promptId } of running) {
        const types = await bench.types(promptId);
        if (types.at(-1) !== 'AttemptDiscarded') throw new Error(`${promptId}: ${types}`);
      }
    });
    await bench.clean();
  },
});

const ended = (bench: Bench, ids: string[]): Promise<number> =>
  count(bench, `event WHERE type = 'PromptCompleted' AND stream_id = ANY($1)`, [ids]);

/** Entries that workers of this release find when the row they are for has gone. */
async function cancelledInTheQueue(bench: Bench): Promise<Asked[]> {
  const workers = await bench.stopWorkers();
  const queued = await accepted(bench, 4, {});
  const ids = queued.map(({ promptId }) => promptId);
  await until(
    'they are dispatched',
    async () => (await count(bench, 'outbox WHERE dispatch IS NOT NULL AND prompt_id = ANY($1)', [ids])) === ids.length,
  );
  await cancelled(bench, queued);
  for (const one of workers) one.signal('SIGCONT');
  return queued;
}

/** Calls of workers of this release, which cannot record what came of them. */
async function cancelledInTheCall(bench: Bench): Promise<Asked[]> {
  const running = await accepted(bench, 6, { emulate: { delayMs: 3_500 } });
  const ids = running.map(({ promptId }) => promptId);
  await until('they are called', () => bench.calls(ids) === ids.length);
  const { spooled } = bench.fleet;
  const before = spooled();
  await cancelled(bench, running);
  await until('what came of them is held', () => spooled() >= before + ids.length);
  return running;
}

export const releaseCases = (next: NextRelease): Case[] => [forthAndBack(next), writersFirst(next)];

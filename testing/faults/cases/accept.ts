/** Group A, at the edge: clients that leave, and an API whose every way to Postgres is taken. */
import assert from 'node:assert/strict';
import { createRandom } from '../../kit/random.ts';
import type { Operation } from '../evidence.ts';
import type { Request } from '../requests.ts';
import { type Bench, type Case, pause, until } from './bench.ts';

const LEAVERS = 120;

/** By the hash of its prompt: what is in the log of those, and whether it has ended. */
async function submitted({ fleet }: Bench, requests: Request[]): Promise<Map<string, { id: string; ended: boolean }>> {
  const rows = await fleet.query<{ id: string; hash: string; ended: boolean }>(
    `SELECT s.stream_id AS id, h.hash, EXISTS (SELECT 1 FROM event e WHERE e.stream_id = s.stream_id
              AND e.type IN ('PromptCompleted', 'PromptFailed', 'PromptCancelled', 'PromptExpired')) AS ended
       FROM event s, LATERAL (SELECT encode(sha256(convert_to(s.data ->> 'prompt', 'UTF8')), 'hex') AS hash) h
      WHERE s.type = 'PromptSubmitted' AND h.hash = ANY($1)`,
    [requests.map(({ promptHash }) => promptHash)],
  );
  return new Map(rows.map(({ id, hash, ended }) => [hash, { id, ended }]));
}

/** A third of them before the last byte of their request, the others before its answer. */
async function leaveAtRandom(bench: Bench): Promise<{ whole: Request[]; part: Request[] }> {
  const random = createRandom(4_711);
  const whole: Request[] = [];
  const part: Request[] = [];
  const leaving = Array.from({ length: LEAVERS }, async (_, i) => {
    const missing = i % 3 === 2 ? 1 : 0;
    const key = `leaver-${Date.now()}-${i}`;
    const request = bench.clients.compose(bench.users[i % bench.users.length]!, { key, emulate: { delayMs: 50 } });
    (missing > 0 ? part : whole).push(request);
    const how = random.chance(0.5) ? 'closed' : 'reset';
    const afterMs = random.between(0, 30);
    await pause(random.between(0, 2_000));
    await bench.clients.leave(request, { missing, afterMs, how });
  });
  await Promise.all(leaving);
  return { whole, part };
}

async function clientsLeave(bench: Bench): Promise<void> {
  const { clients } = bench;
  const load = clients.load(30);
  const { whole, part } = await leaveAtRandom(bench);
  await load.stop();
  const unheard = await until(
    'what was taken without a hearer has ended',
    async () => {
      const found = await submitted(bench, whole);
      return found.size > 0 && [...found.values()].every(({ ended }) => ended) ? found : null;
    },
    60_000,
  );
  if (unheard.size < whole.length / 4) throw new Error(`of ${whole.length} left alone ${unheard.size} were taken`);
  const again = await Promise.all(whole.map((request) => clients.settle(request)));
  for (const { promptHash, promptId, status, replayed } of again) {
    const before = unheard.get(promptHash!);
    if (status !== 202 || (before && (promptId !== before.id || !replayed)))
      throw new Error(`asked again: ${status}, ${promptId}, replayed ${replayed}; it was ${before?.id}`);
  }
  // A key whose request never came to its end is nobody's yet.
  const others = part.map(({ user, key }) => clients.settle(clients.compose(user, { key: key! })));
  for (const { status, replayed } of await Promise.all(others))
    if (status !== 202 || replayed) throw new Error(`another body under a key left half way: ${status}, ${replayed}`);
  const taken = await submitted(bench, part);
  if (taken.size > 0) throw new Error(`${taken.size} requests were taken that never came to their end`);
}

/** Statements of a stranger that wait at their end until they are cancelled; `work` is done meanwhile. */
async function whileHeld<T>({ fleet }: Bench, statements: string, work: () => Promise<T>): Promise<T> {
  const text = `BEGIN; ${statements}; SELECT pg_sleep(60)`;
  const held = fleet.impairments.during('postgres', 'refusing', () =>
    assert.rejects(fleet.query(text), { code: '57014' }),
  );
  held.catch(() => {}); // awaited below
  const holder = 'SELECT pid FROM pg_stat_activity WHERE query = $1';
  try {
    await until(
      'it is held',
      async () => (await fleet.query(`${holder} AND wait_event = 'PgSleep'`, [text])).length > 0,
    );
    return await work();
  } finally {
    await fleet.query(`SELECT pg_cancel_backend(pid) FROM (${holder}) one`, [text]);
    await held;
  }
}

/** Two hundred a second, for a second and a half and until `taken`. */
async function flood(send: (i: number) => Promise<Operation>, taken: Promise<unknown>): Promise<Operation[]> {
  const sent: Promise<Operation>[] = [];
  let isTaken = false;
  const ended = taken.finally(() => {
    isTaken = true;
  });
  ended.catch(() => {}); // awaited below
  while (sent.length < 300 || !isTaken) {
    for (let n = 0; n < 5; n += 1) sent.push(send(sent.length));
    await pause(25);
  }
  await ended;
  return Promise.all(sent);
}

/** How long each API's event loop left a question unanswered at the most, milliseconds. */
async function slowestLoop<T>({ fleet }: Bench, work: Promise<T>): Promise<{ result: T; slowestMs: number }> {
  let [running, slowestMs] = [true, 0];
  const probes = fleet.byService('command-api').map(async ({ name }) => {
    while (running) {
      const asked = performance.now();
      await (await fetch(`http://127.0.0.1:${fleet.adminPorts.get(name)}/livez`)).text();
      slowestMs = Math.max(slowestMs, performance.now() - asked);
      await pause(50);
    }
  });
  try {
    const result = await work;
    return { result, slowestMs };
  } finally {
    running = false;
    await Promise.all(probes);
  }
}

/** When they came is for the checker (I15), as of every other refusal. */
function allRefused(operations: Operation[]): void {
  const others = operations.filter(({ status, retryAfter }) => status !== 503 || !(Number(retryAfter) >= 1));
  if (others.length === 0) return;
  const { kind, status, code, retryAfter } = others[0]!;
  throw new Error(`${others.length} of ${operations.length} were no 503: ${kind} ${status} ${code} ${retryAfter}`);
}

/** Shorter than the time in which everybody is answered; a busy machine alone makes it some tenths of a second. */
const STALL_MS = 1_500;
async function refusedWhileHeld(
  bench: Bench,
  statements: string,
  send: (i: number) => Promise<Operation>,
  untilTaken: () => Promise<unknown>,
): Promise<void> {
  const kept = await whileHeld(bench, statements, async () => {
    const asked = bench.asks(10); // with a key: asked again until they are taken
    asked.catch(() => {}); // awaited below
    const { result, slowestMs } = await slowestLoop(bench, flood(send, untilTaken()));
    allRefused(result);
    if (slowestMs > STALL_MS) throw new Error(`an event loop stood still for ${slowestMs.toFixed(0)} ms`);
    return { asked };
  });
  await kept.asked;
  await bench.work();
}

const LOCK = 'SELECT pg_advisory_xact_lock(7301)';
const waitingOf = (pool: string) =>
  `SELECT count(*)::integer AS n FROM pg_stat_activity WHERE application_name LIKE 'command-api-%-${pool}' AND wait_event_type = 'Lock'`;
const untilWaiting = ({ fleet }: Bench, pool: string, n: number) =>
  until(`${n} connections wait`, async () => {
    const [row] = await fleet.query<{ n: number }>(waitingOf(pool));
    return row?.n === n;
  });
/** As platform/boot.ts has it. */
const POOL_SIZE = 8;

export const acceptCases: Case[] = [
  {
    name: 'A3 clients leave before the end of their request, or before its answer',
    run: async (bench) => {
      await bench.fault('clients leave', [], () => clientsLeave(bench));
      await bench.clean();
    },
  },
  {
    name: 'A5 the append lock held while hundreds ask: each is refused in time, no event loop stands still',
    run: async (bench) => {
      const { clients, users, fleet } = bench;
      await bench.work(); // keys are known
      await bench.fault('append lock held', ['postgres'], () =>
        refusedWhileHeld(
          bench,
          LOCK,
          (i) => clients.ask(users[i % users.length]!),
          () => untilWaiting(bench, 'append', fleet.byService('command-api').length),
        ),
      );
      await bench.clean();
    },
  },
  {
    name: 'A5 every connection of the APIs taken by statements that wait: each is refused in time, no event loop stands still',
    run: async (bench) => {
      const { clients, users, fleet } = bench;
      const [known] = await bench.asks(1);
      await bench.fault('connections taken', ['postgres', 'command-api'], async () => {
        const apis = fleet.byService('command-api');
        const codes = await Promise.all(apis.map((one) => one.restart()));
        if (codes.some((code) => code !== 0)) throw new Error(`exit codes ${codes}`);
        await Promise.all(apis.map((one) => one.ready())); // they know no key yet
        const sends = [
          clients.ask,
          (user: string) => clients.cancel(user, known!),
          (user: string) => clients.retry(user, known!),
        ];
        await refusedWhileHeld(
          bench,
          `${LOCK}; LOCK TABLE api_key, event IN ACCESS EXCLUSIVE MODE`,
          (i) => sends[i % sends.length]!(users[i % users.length]!),
          () => untilWaiting(bench, 'command-api', apis.length * POOL_SIZE),
        );
      });
      await bench.clean();
    },
  },
];

/** One run: a fleet, users, feeds, faults; then quiet, and the evidence. */

import { windowOf } from '../../command-api/relay/window.ts';
import type { BillingEntry } from '../emulator/billing.ts';
import { createRandom } from '../kit/random.ts';
import { type Clients, createClients } from './clients.ts';
import { collectDatabase, collectRedis, countResyncs, findSecrets, toCalls } from './collect.ts';
import type { Evidence, InjectedFault, Operation, Plan } from './evidence.ts';
import { type Feeds, openFeeds } from './feeds.ts';
import type { Fleet } from './fleet.ts';
import { untilPosted } from './ledger.ts';
import { CLEAN_WITHIN_MS, dumpState, waitUntilClean } from './quiet.ts';
import { type Sampler, startSampling } from './samples.ts';
import { watchStalls } from './stalls.ts';

export type Observed = {
  fleet: Fleet;
  clients: Clients;
  feeds: Feeds;
  sampler: Sampler;
  /** Of this process: whether it stands still. */
  stopWatching: () => void;
  /** Of the provider; kept here, since its own log is bounded. */
  entries: () => BillingEntry[];
};

/** As the feed has it (query-api/feed/feed.ts). */
const MAX_EVENTS_BEHIND = 10_000;
/** Models that the users ask. */
const MODELS = 2;
/** An answer that waited here for so long came in time all the same. */
const OWN_STALL_MS = 100;
/** Of a service: all of its pools, and what is left of its predecessor for a moment. */
const CONNECTIONS_EACH = 15;
/** Of what drives and watches the run. */
const OWN_CONNECTIONS = 10;
/** Of the nemesis and the cases: copies of entries, and entries that are none. */
const STRANGERS = 50;
const COMMANDS: ReadonlySet<Operation['kind']> = new Set(['ask', 'cancel', 'retry']);

function limitsOf(fleet: Fleet): Evidence['limits'] {
  const held = fleet.byService('worker').length * fleet.slots;
  // The relay counts a worker for ten seconds after it was last heard of: its successor is there by then.
  const known = 2 * held;
  const window = windowOf(0, known, false) + windowOf(1, known, true) + windowOf(2, known, true);
  return {
    cleanWithinMs: CLEAN_WITHIN_MS,
    rssBytes: 600 * 2 ** 20,
    openFiles: 500,
    postgresConnections: CONNECTIONS_EACH * fleet.supervisor.instances().length + OWN_CONNECTIONS,
    tasksLength: MODELS * window + held + STRANGERS,
    leaseMs: fleet.leaseMs,
    callTimeoutMs: fleet.callTimeoutMs,
    answerWithinMs: 2_000,
    feedBehind: MAX_EVENTS_BEHIND,
  };
}

/** `gateway`: the address at which users ask, read and follow. */
export function observe(fleet: Fleet, seed: number, gateway: string | null = null): Observed {
  const random = createRandom(seed);
  const clients = createClients(fleet, random, gateway);
  const kept: BillingEntry[] = [];
  return {
    fleet,
    clients,
    feeds: openFeeds(fleet, createRandom(seed + 1), clients.failed, gateway),
    sampler: startSampling(fleet),
    stopWatching: watchStalls(OWN_STALL_MS, (ms) => fleet.impairments.ended('harness', 'stalled', process.pid, ms)),
    entries: () => {
      const last = kept.at(-1)?.callId ?? 0;
      for (const entry of fleet.emulator.billing.entries()) if (entry.callId > last) kept.push(entry);
      return kept;
    },
  };
}

/** Heals, waits for quiet, and collects. `onStuck` is given the state when the system does not come to rest. */
export async function conclude(
  observed: Observed,
  run: {
    plan: Plan;
    seed: number;
    startedAt: number;
    faults: InjectedFault[];
    /** When the last fault ended; by default now. */
    faultsEndedAt?: number;
    onStuck: (state: string) => void;
    /** For the system to come to rest, before it is called stuck. */
    waitMs?: number;
  },
): Promise<Evidence> {
  const { fleet, clients, feeds, sampler } = observed;
  const faultsEndedAt = run.faultsEndedAt ?? Date.now();
  await fleet.heal();
  const { cleanAt } = await waitUntilClean(fleet, run.waitMs ?? 60_000);
  // Clients go on for a while with what they had begun: what they ask for is work.
  const quietAt = clients.operations.reduce(
    (last, { kind, completedAt }) => (COMMANDS.has(kind) ? Math.max(last, completedAt) : last),
    faultsEndedAt,
  );
  if (cleanAt === null) run.onStuck(await dumpState(fleet));
  await untilFeedsSawAll(fleet, feeds);
  await untilPosted(fleet);
  feeds.close();
  sampler.stop();
  observed.stopWatching();
  const repliesLost = [...fleet.wires.values()].reduce((sum, { postgres }) => sum + postgres.lost, 0);
  return {
    plan: run.plan,
    seed: run.seed,
    startedAt: run.startedAt,
    quietAt,
    cleanAt,
    operations: clients.operations,
    calls: toCalls(observed.entries()),
    database: await collectDatabase(fleet),
    redis: await collectRedis(fleet, sampler.longestTasks),
    feed: [...clients.streams, ...feeds.connections],
    faults: run.faults,
    impairments: fleet.impairments.list,
    processes: fleet.supervisor.processes,
    seen: { repliesLost, resyncs: countResyncs(fleet), spooled: fleet.spooled() },
    samples: sampler.samples,
    postgresConnections: sampler.postgresConnections(),
    unexpectedExits: fleet.supervisor.unexpectedExits,
    secretsFound: await findSecrets(fleet),
    limits: limitsOf(fleet),
  };
}

/** A connection that comes back after a fault needs a moment; what it misses then is for the checker. */
async function untilFeedsSawAll(fleet: Fleet, feeds: Feeds): Promise<void> {
  const rows = await fleet.query<{ user: string; last: number }>(
    `SELECT data ->> 'userId' AS user, max(position) AS last FROM event GROUP BY 1`,
  );
  const last = new Map(rows.map((row) => [row.user, row.last]));
  const head = Math.max(0, ...last.values());
  const deadline = Date.now() + 10_000;
  const behind = () =>
    fleet.users.some(({ name, isAdmin }) => feeds.seen(name) < (isAdmin ? head : (last.get(name) ?? 0)));
  while (behind() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
}

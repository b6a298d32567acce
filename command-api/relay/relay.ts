/**
 * Moves ready rows of the outbox onto the `tasks` stream: stamp (commits) → publish. A stamp without its entry, or an
 * entry without its stamp, does no harm: the former is found by the next mismatch or by the sweeper, the latter is
 * refused when claimed.
 */

import { failPoint } from '../../platform/fail-points.ts';
import { numberOf, type TaskStream } from '../../platform/redis/tasks.ts';
import { createWake } from '../../platform/wake.ts';
import type { Pair, Stamped } from './dispatch-ledger.ts';
import type { Leadership } from './leader.ts';
import { createUndelivered, laneNames, windowOf } from './window.ts';

export type RelayLogger = { info: (o: object, m: string) => void; warn: (o: object, m: string) => void };

export type RelayOptions = {
  tasks: TaskStream;
  lead: () => Promise<Leadership | null>;
  /** Runs beside publishing while this process leads; see sweeper.ts. */
  sweep: (leadership: Leadership) => Promise<void>;
  logger: RelayLogger;
  pollMs?: number;
  standbyMs?: number;
  onPublished?: (count: number) => void;
  /** All dispatch numbers were given anew. */
  onResync?: () => void;
};

export type Relay = {
  start: () => void;
  /** Look at the outbox now. */
  wake: () => void;
  stop: () => Promise<void>;
  readonly leads: boolean;
};

/** Above this the stream's ids were not made by us and leave no room to go on from. */
const SANE_DISPATCH = 1e15;

export function createRelay(options: RelayOptions): Relay {
  const { tasks, logger, pollMs = 100, standbyMs = 1_000 } = options;
  const wake = createWake();
  const undelivered = createUndelivered();
  const lastUser = new Map<string, string>();
  let leadership: Leadership | null = null;
  let running: Promise<void> | null = null;
  let stopping = false;
  /** Last id this leader published; null: not known, look before publishing. */
  let lastId: string | null = null;
  let capacity = { slots: 0, parked: new Set<string>(), readAt: 0 };

  async function run(): Promise<void> {
    while (!stopping) {
      try {
        leadership ??= await takeLead();
        if (!leadership) {
          await wake.wait(standbyMs);
          continue;
        }
        const more = await turn(leadership);
        if (!more) await wake.wait(pollMs);
      } catch (error) {
        logger.warn({ err: error }, 'relay: a turn failed, the next one starts from what Postgres and Redis say');
        lastId = null;
        await keepLead();
        await wake.wait(250);
      }
    }
    await leadership?.release();
    leadership = null;
  }

  async function takeLead(): Promise<Leadership | null> {
    const won = await options.lead();
    if (won) logger.info({}, 'relay: this process leads');
    lastId = null;
    return won;
  }

  /** Redis may be away for long: the lock's connection must not fall idle meanwhile. */
  async function keepLead(): Promise<void> {
    const held = leadership;
    try {
      await held?.ledger.keep();
    } catch (error) {
      logger.warn({ err: error }, 'relay: leadership lost');
      leadership = null;
      // A connection that only failed a statement still holds the lock, and would keep it from everybody, us too.
      await held?.release();
    }
  }

  async function turn(lead: Leadership): Promise<boolean> {
    await options.sweep(lead);
    const pairs = await readyPairs(lead);
    const state = await tasks.state();
    if (state.lastId !== lastId) return resync(lead, state.lastId);
    undelivered.delivered(state.lastDelivered);
    let published = 0;
    for (const pair of pairs) {
      const urgentReady = pairs.some((other) => other.lane < pair.lane);
      const free = windowOf(pair.lane, capacity.slots, urgentReady) - undelivered.count(pair.lane, pair.model);
      if (free <= 0) continue;
      const rows = await stamp(lead, pair, free);
      if (rows.length === 0) continue;
      if (!(await publish(pair, rows))) return true;
      published += rows.length;
    }
    if (published > 0) options.onPublished?.(published);
    return published > 0;
  }

  async function readyPairs(lead: Leadership): Promise<Pair[]> {
    if (performance.now() - capacity.readAt > 500) await readCapacity(lead);
    const pairs = await lead.ledger.readyPairs();
    return pairs.filter((pair) => !capacity.parked.has(pair.model));
  }

  async function readCapacity(lead: Leadership): Promise<void> {
    const { slots, parked } = await lead.ledger.capacity();
    capacity = { slots, parked: new Set(parked), readAt: performance.now() };
  }

  /** Users take turns: nobody gets more than a quarter of the free places before all others were asked. */
  async function stamp({ ledger }: Leadership, pair: Pair, free: number): Promise<Stamped[]> {
    const key = `${pair.lane}/${pair.model}`;
    const rows = await ledger.stamp(pair, lastUser.get(key) ?? '', free, Math.ceil(free / 4));
    if (rows.length < free) rows.push(...(await ledger.stamp(pair, '', free - rows.length, free - rows.length)));
    const last = rows.at(-1);
    if (last) lastUser.set(key, last.userId);
    return rows;
  }

  async function publish({ lane, model }: Pair, rows: Stamped[]): Promise<boolean> {
    const entries = rows.map((row) => ({
      dispatch: row.dispatch,
      promptId: row.promptId,
      lane: laneNames[lane],
      model,
      traceparent: row.traceparent,
    }));
    await failPoint('relay.stamped');
    const answer = await tasks.publish(entries, lastId ?? '0-0');
    await failPoint('relay.published');
    if (!answer.published) {
      logger.warn({ expected: lastId, found: answer.lastId }, 'relay: the stream is not as it was left');
      lastId = null;
      return false;
    }
    lastId = answer.lastId;
    for (const row of rows) undelivered.add(row.dispatch, lane, model);
    return true;
  }

  /**
   * A wipe, a failover, a foreign entry, another key of that name, a lost reply or a new leader: whatever was published counts for nothing.
   * Every stamped row without an attempt waits for a new number above all that the stream has seen.
   */
  async function resync(lead: Leadership, foundId: string): Promise<boolean> {
    let found = numberOf(foundId);
    if (!foundId.endsWith('-0') || found > SANE_DISPATCH) {
      logger.warn({ foundId }, 'relay: the stream is none, or has ids that are not ours: it is made anew');
      await tasks.remove();
      found = 0;
      foundId = '0-0';
    }
    const rows = await lead.ledger.unstampAll(found);
    await failPoint('relay.resynced');
    undelivered.clear();
    options.onResync?.();
    lastId = foundId;
    logger.info({ lastId, rows }, 'relay: dispatch numbers given anew');
    return true;
  }

  return {
    start: () => {
      running ??= run();
    },
    wake: wake.ring,
    stop: async () => {
      stopping = true;
      wake.ring();
      await running;
    },
    get leads() {
      return leadership !== null;
    },
  };
}

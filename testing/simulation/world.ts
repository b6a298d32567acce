/** One simulated deployment: servers in memory, actors that run the real code on them, and what can go wrong between. */

import type { Leadership } from '../../command-api/relay/leader.ts';
import { createRelay } from '../../command-api/relay/relay.ts';
import { createSweeper } from '../../command-api/relay/sweeper.ts';
import type { RetryBudget } from '../../contracts/prompt/retry.ts';
import { fold } from '../../contracts/prompt/state.ts';
import type { Append, AppendEvents, AppendResult } from '../../platform/postgres/append.ts';
import type { ReadPrompt } from '../../platform/postgres/decide-and-append.ts';
import { toEvent } from '../../platform/postgres/read.ts';
import type { Hint, HintBus } from '../../platform/redis/hints.ts';
import { createRunner } from '../../projector/runner.ts';
import { createWorker } from '../../worker/app.ts';
import type { HeldAnswer, Spool } from '../../worker/spool/spool.ts';
import type { Random } from '../kit/random.ts';
import { type Actor, type Clock, createActor } from './clock.ts';
import { createDatabase, type Database } from './memory/database.ts';
import { memoryDispatchLedger, memoryLeaseLedger } from './memory/ledgers.ts';
import { createProjection, memoryProjectionStore } from './memory/projection.ts';
import { createStream, memoryTaskReader, memoryTaskStream } from './memory/stream.ts';
import { createProvider, type SimulatedProvider } from './provider.ts';

export const LEASE_SECONDS = 15;
export const CALL_TIMEOUT_SECONDS = 60;
export const SETTINGS = { maxAttempts: 4, baseSeconds: 1, capSeconds: 30, callTimeoutSeconds: CALL_TIMEOUT_SECONDS };

type Server = 'postgres' | 'redis';
export type Service = 'relay' | 'worker' | 'projector';

/** Rules of the real system, switched off by the tests of the judge. */
export type Sabotage = Partial<
  Record<'leases that end at once' | 'appends without checks' | 'no sweeper' | 'no cursor check', boolean>
>;

export type World = {
  db: Database;
  provider: SimulatedProvider;
  /** Each server's state, drawn on by every call to it. */
  down: Record<Server, boolean>;
  /** Part of the calls whose answer is lost after they took effect. */
  lossRate: Record<Server, number>;
  stream: ReturnType<typeof createStream>;
  projection: ReturnType<typeof createProjection>;
  actors: Map<string, { service: Service; actor: Actor }>;
  start: (service: Service, slot: number) => void;
  /** Its memory is gone, its disk stays; nothing of it ever happens again. */
  crash: (name: string) => void;
  /** Of the world itself: never crashes, asks until it knows. */
  append: AppendEvents;
  read: ReadPrompt;
  hint: (hint: Hint) => void;
  counters: Record<string, number>;
};

const lostConnection = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
const refused = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

export function createWorld(clock: Clock, random: Random, sabotage: Sabotage = {}): World {
  const epoch = () => Date.now();
  const db = createDatabase(epoch);
  if (sabotage['leases that end at once']) db.leaseIsDead = (row) => row.token !== null;
  const stream = createStream(epoch);
  const projection = createProjection();
  const counters: Record<string, number> = {};
  const count = (name: string) => {
    counters[name] = (counters[name] ?? 0) + 1;
  };
  const provider = createProvider(clock, random);
  const down = { postgres: false, redis: false };
  const lossRate = { postgres: 0, redis: 0 };
  const listeners = new Map<Hint, Map<() => void, Actor>>();
  /** Whose connection holds the relay's lock, and when it last said something. */
  let leader: { actor: Actor; saidAt: number } | null = null;
  const disks = new Map<string, Map<string, HeldAnswer>>();

  /** A call over the network: some milliseconds there, some back; whoever has died hears nothing. */
  function over<T>(server: Server, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const back = random.between(1, 6);
      clock.at(random.between(1, 6), () => {
        if (down[server]) return clock.at(back, () => reject(refused()));
        const lost = random.chance(lossRate[server]);
        // It takes effect here, whoever hears of it.
        void work().then(
          (value) =>
            clock.at(back, () => {
              if (lost) count(`${server} reply lost`);
              return lost ? reject(lostConnection()) : resolve(value);
            }),
          (error) => clock.at(back, () => reject(error)),
        );
        return undefined;
      });
    });
  }
  /** Every function of a port, over the network. */
  const remote = <P extends object>(server: Server, port: P): P =>
    Object.fromEntries(
      Object.entries(port).map(([name, call]) => [
        name,
        (...args: unknown[]) => over(server, async () => (call as (...all: unknown[]) => unknown)(...args)),
      ]),
    ) as P;

  function applied(append: Append): AppendResult {
    const result = db.append(sabotage['appends without checks'] ? unchecked(append) : append);
    if (result.status === 'duplicate') count('an append found itself on record');
    return result;
  }
  /** Whatever the caller believed, and whether or not it is there already. */
  const unchecked = (append: Append): Append => ({
    ...append,
    expectedVersion: null,
    events: append.events.map((event) => ({ ...event, eventId: crypto.randomUUID() })),
  });
  /** As the appender does: a call whose answer is lost is made again, for a while. */
  const append: AppendEvents = async (one) => {
    for (let tries = 0; ; tries += 1) {
      try {
        return await over('postgres', async () => applied(one));
      } catch (error) {
        if (tries >= 8) throw error;
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    }
  };
  const patient: AppendEvents = async (one) => {
    for (;;) {
      try {
        return await append(one);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 500)); // the client asks again, with the same key
      }
    }
  };
  const read: ReadPrompt = (promptId) =>
    over('postgres', async () => {
      const events = (db.streams.get(promptId) ?? []).map(toEvent);
      const state = fold(events);
      return state && { state, events };
    });

  const hintsOf = (actor: Actor): Pick<HintBus, 'send' | 'on'> => ({
    send: (hint) => ring(hint),
    on: (hint, listener) => {
      const all = listeners.get(hint) ?? new Map();
      listeners.set(hint, all.set(listener, actor));
      return () => all.delete(listener);
    },
  });
  function ring(hint: Hint): void {
    if (down.redis || random.chance(0.1)) return; // a hint may be lost at any time
    for (const [listener, actor] of listeners.get(hint) ?? []) clock.at(random.between(1, 5), listener, actor);
  }
  const budget = (): RetryBudget => ({ ...SETTINGS, random: random.next() });
  const logger = {
    info: () => {},
    warn: (_: object, message: string) => count(message),
    error: (_: object, message: string) => count(message),
  };
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

  async function tryLead(actor: Actor): Promise<Leadership | null> {
    return over('postgres', async () => {
      if (leader && (leader.actor.dead || clock.now - leader.saidAt > 3_000)) leader = null;
      if (leader) return null;
      const mine = { actor, saidAt: clock.now };
      leader = mine;
      const holds = () => leader === mine;
      const ledger = memoryDispatchLedger(db);
      const guarded = Object.fromEntries(
        Object.entries(ledger).map(([name, call]) => [
          name,
          (...args: unknown[]) =>
            over('postgres', async () => {
              if (leader === mine && clock.now - mine.saidAt > 3_000) leader = null; // idle_session_timeout
              if (!holds()) throw lostConnection();
              mine.saidAt = clock.now;
              return (call as (...all: unknown[]) => unknown)(...args);
            }),
        ]),
      ) as typeof ledger;
      return {
        ledger: guarded,
        get lost() {
          return !holds();
        },
        release: async () => {
          if (holds()) leader = null;
        },
      };
    });
  }

  function startRelay(actor: Actor): void {
    const tasks = remote('redis', memoryTaskStream(stream));
    const relay = createRelay({
      tasks,
      lead: () => tryLead(actor),
      sweep: sabotage['no sweeper']
        ? async () => {}
        : createSweeper({
            read,
            append,
            tasks,
            budget,
            name: actor.name,
            logger,
            everyMs: 1_000,
            onChange: () => relay.wake(),
          }),
      logger,
      pollMs: 1_000,
      standbyMs: 3_000,
    });
    hintsOf(actor).on('ready', relay.wake);
    relay.start();
  }

  function startWorker(actor: Actor, disk: string): void {
    const answers = disks.get(disk) ?? new Map<string, HeldAnswer>();
    disks.set(disk, answers);
    const spool: Spool = {
      put: async (answer) => {
        answers.set(answer.token, structuredClone(answer));
        count('an answer was spooled');
      },
      remove: async (token) => void answers.delete(token),
      held: async () => {
        if (answers.size > 0) count('answers of an earlier process');
        return [...answers.values()];
      },
    };
    const wait = (ms: number) =>
      new Promise<void>((resolve) => {
        const done = () => {
          stream.waiting.delete(done);
          resolve();
        };
        stream.waiting.add(done);
        setTimeout(done, ms);
      });
    const reader = memoryTaskReader(stream, actor.name, wait);
    const worker = createWorker(
      {
        name: actor.name,
        provider,
        priceOf: (_model, { totalTokens }) => ({ nanoUsd: totalTokens, priceVersion: 'sim@1' }),
        slots: 4,
        leaseSeconds: LEASE_SECONDS,
        callTimeoutSeconds: CALL_TIMEOUT_SECONDS,
        drainSeconds: 5,
        budget,
        spool,
        now: () => new Date(),
        sleep,
        logger,
      },
      {
        append,
        readStreams: (ids) =>
          over(
            'postgres',
            async () =>
              new Map(ids.flatMap((id) => (db.streams.has(id) ? [[id, [...db.streams.get(id)!]] as const] : []))),
          ),
        confirm: async () => {},
        isArchived: async () => false,
        leases: remote('postgres', memoryLeaseLedger(db)),
        tasks: {
          ...remote('redis', reader),
          read: (many, ms) => (down.redis ? over('redis', async () => []) : reader.read(many, ms)),
        },
        tell: () => over('redis', async () => undefined),
        hints: hintsOf(actor),
      },
    );
    worker.start();
  }

  function startProjector(actor: Actor): void {
    const bare = memoryProjectionStore(db, projection);
    const write: typeof bare.write = async (step) => {
      if (sabotage['no cursor check']) projection.cursor = step.from;
      const written = await bare.write(step);
      if (!written) count('a projector lost its compare-and-set');
      return written;
    };
    // The fold is the projector's own: it is not asked for over a wire.
    const store = { ...remote('postgres', { ...bare, write }), fold: bare.fold };
    const runner = createRunner({
      versions: async () => [1],
      storeOf: () => store,
      logger,
      pollMs: 1_000,
      onMoved: () => {},
      onBroken: (error) => count(`broken: ${error.message}`),
    });
    hintsOf(actor).on('log', runner.wake);
    runner.start();
  }

  const actors: World['actors'] = new Map();
  let started = 0;
  return {
    db,
    provider,
    down,
    lossRate,
    stream,
    projection,
    actors,
    counters,
    append: patient,
    read,
    hint: ring,
    start: (service, slot) => {
      started += 1;
      const name = `${service}-${slot}#${started}`;
      const actor = createActor(name);
      actors.set(name, { service, actor });
      clock.as(actor, () => {
        if (service === 'relay') startRelay(actor);
        else if (service === 'worker') startWorker(actor, `disk-${slot}`);
        else startProjector(actor);
      });
    },
    crash: (name) => {
      const found = actors.get(name);
      if (!found) return;
      found.actor.dead = true;
      actors.delete(name);
      for (const all of listeners.values())
        for (const [listener, actor] of all) if (actor === found.actor) all.delete(listener);
      if (leader?.actor === found.actor) leader = null; // its connection is closed by the system it ran on
    },
  };
}

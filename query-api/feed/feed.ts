/** The live feed of one process: hub, tailer, and the clocks that all subscriptions share. */
import type pg from 'pg';
import type { Prompt } from '../../contracts/http/queries.ts';
import { LogArchivedError, readHead } from '../../platform/postgres/read.ts';
import type { Backlog } from '../../platform/telemetry/instruments/live.ts';
import type { PromptReader } from '../read-models/prompt-reader.ts';
import { toFrames } from './frame.ts';
import { createGate } from './gate.ts';
import type { Hub } from './hub.ts';
import type { RebuildWatch } from './rebuild-watch.ts';
import {
  BUFFER_LIMIT,
  createSubscription,
  type Sink,
  type Subscription,
  type SubscriptionSource,
} from './subscription.ts';
import type { Tailer } from './tailer.ts';
import { isFarBehind, readPage } from './topic.ts';

export type Feed = {
  start: () => Promise<void>;
  stop: () => Promise<void>;
  /** The log has lost its end: every connection is ended, since positions that it was sent are given anew. */
  rewind: () => void;
  onRewound: (endAll: () => void) => void;
  /** Where a new connection stands; told in its `hello`. */
  position: () => number;
  /** How much of what was sent waits in sockets. */
  backlog: () => Backlog;
  /** `close` ends it. Nothing is sent before `subscribe`. */
  connect: (sink: Sink & RebuildSink, start: number) => Pick<Subscription, 'subscribe'> & { close: () => void };
  /** Calls back with each new state of one prompt; returns the end of it. */
  watch: (promptId: string, listener: (prompt: Prompt) => void) => () => void;
};

/** Frames without a position, beside the log's: one that a slow socket does not take is not sent at all. */
export type RebuildSink = { rebuild: (json: string) => void };

export type FeedDeps = {
  pool: Pick<pg.Pool, 'query'>;
  primary: Pick<pg.Pool, 'query'>;
  reader: PromptReader;
  hub: Hub;
  tailer: Tailer;
  rebuilds: RebuildWatch;
  log: { warn: (fields: object, message: string) => void };
  onResync?: () => void;
};

/** Farther behind than this, reading the state again is cheaper than the way through. */
const MAX_EVENTS_BEHIND = 10_000;
const PAGE = 100;
const CATCH_UPS_AT_ONCE = 4;
const RESUME_MS = 100;
const ANNOUNCE_MS = 15_000;

export function createFeed(deps: FeedDeps): Feed {
  const { pool, primary, reader, hub, tailer, rebuilds, log, onResync } = deps;
  const subscriptions = new Set<Subscription>();
  const gate = createGate(CATCH_UPS_AT_ONCE);
  let clocks: NodeJS.Timeout[] = [];
  let endAll = () => {};

  const source: SubscriptionSource = {
    frontier: tailer.frontier,
    published: tailer.published,
    join: hub.add,
    page: (topic, after, upTo) =>
      gate(async () => {
        const events = await readPage(pool, topic, after, upTo, PAGE).catch(archived);
        if (events === 'archived') return events;
        const frames = await toFrames(reader, events);
        return { frames, upTo: events.length < PAGE ? upTo : (events.at(-1)?.position ?? upTo) };
      }),
    isFarBehind: (topic, after, upTo) => gate(() => isFarBehind(pool, topic, after, upTo, MAX_EVENTS_BEHIND)),
    isBeyondLog: (after) => gate(async () => after > (await readHead(primary))),
    onError: (error) => log.warn({ err: error }, 'a subscriber could not catch up; trying again'),
  };

  return {
    start: async () => {
      await tailer.start(() => {
        for (const subscription of subscriptions) subscription.catchUp();
      });
      clocks = [
        setInterval(() => {
          const now = performance.now();
          for (const subscription of subscriptions) subscription.resume(now);
        }, RESUME_MS),
        setInterval(() => {
          for (const subscription of subscriptions) subscription.announce();
        }, ANNOUNCE_MS),
      ];
    },
    stop: async () => {
      for (const clock of clocks) clearInterval(clock);
      for (const subscription of subscriptions) subscription.stop();
      subscriptions.clear();
      await Promise.all([tailer.stop(), rebuilds.stop()]);
    },
    rewind: () => {
      tailer.rewind();
      endAll();
    },
    onRewound: (end) => {
      endAll = end;
    },
    position: tailer.published,
    backlog: () => {
      const waiting = [...subscriptions].map((subscription) => subscription.backlog());
      return {
        subscribers: waiting.length,
        stalled: waiting.filter(({ stalled }) => stalled).length,
        bytes: waiting.reduce((sum, { bytes }) => sum + bytes, 0),
        mostBytes: waiting.reduce((most, { bytes }) => Math.max(most, bytes), 0),
      };
    },
    connect: (sink, start) => {
      const counted: Sink = {
        ...sink,
        resync: (position) => {
          sink.resync(position);
          onResync?.();
        },
      };
      const subscription = createSubscription(source, counted, start);
      subscriptions.add(subscription);
      let leave = () => {};
      return {
        subscribe: (topic, after) => {
          leave();
          // All prompts are an admin's topic alone.
          leave = topic.kind === 'all' ? rebuilds.add((json) => sendIfTaken(sink, json)) : () => {};
          subscription.subscribe(topic, after);
        },
        close: () => {
          leave();
          subscriptions.delete(subscription);
          subscription.stop();
        },
      };
    },
    watch: (promptId, listener) => hub.add({ kind: 'prompt', promptId }, (frame) => listener(frame.prompt)),
  };
}

function archived(error: unknown): 'archived' {
  if (error instanceof LogArchivedError) return 'archived';
  throw error;
}

function sendIfTaken(sink: Sink & RebuildSink, json: string): void {
  if (sink.buffered() <= BUFFER_LIMIT) sink.rebuild(json);
}

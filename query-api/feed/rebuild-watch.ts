/**
 * Tells admins' connections how far rebuilds are. It reads the rows that projectors write, on a hint and once a second,
 * and only while somebody listens; what has not changed is not sent again.
 */
import type { RebuildFrame } from '../../contracts/feed/frames.ts';
import type { Rebuild } from '../../contracts/http/projections.ts';
import { createWake } from '../../platform/wake.ts';

export type RebuildWatch = {
  /** Calls back with the frame as JSON; at once with those of rebuilds that are under way. Returns the removal. */
  add: (listener: (json: string) => void) => () => void;
  stop: () => Promise<void>;
};

export type RebuildWatchDeps = {
  /** Open, or ended a moment ago. */
  read: () => Promise<Rebuild[]>;
  onHint: (look: () => void) => () => void;
  log: { warn: (fields: object, message: string) => void };
};

/** Between two looks, and so between two frames of a rebuild. */
const LEAST_MS = 500;
/** Hints may be lost. */
const POLL_MS = 1_000;

export function createRebuildWatch({ read, onHint, log }: RebuildWatchDeps): RebuildWatch {
  const listeners = new Set<(json: string) => void>();
  /** The last frame of each rebuild that `read` still tells of. */
  let sent = new Map<string, { json: string; ended: boolean }>();
  const wake = createWake();
  let stopped = false;
  let running: Promise<void> | null = null;

  /** Of the first look after a time without listeners, what has ended is old news. */
  async function look(isFirst: boolean): Promise<void> {
    const now = new Map<string, { json: string; ended: boolean }>();
    for (const rebuild of await read()) {
      const json = JSON.stringify(toFrame(rebuild));
      const ended = rebuild.outcome !== null;
      now.set(rebuild.id, { json, ended });
      if (sent.get(rebuild.id)?.json !== json && !(isFirst && ended)) for (const listener of listeners) listener(json);
    }
    sent = now;
  }

  async function run(): Promise<void> {
    const unhint = onHint(wake.ring);
    let isFirst = true;
    while (listeners.size > 0 && !stopped) {
      const next = performance.now() + LEAST_MS;
      try {
        await look(isFirst);
        isFirst = false;
      } catch (error) {
        log.warn({ err: error }, 'live: how far rebuilds are could not be read; trying again');
      }
      await wake.wait(POLL_MS);
      while (performance.now() < next && listeners.size > 0 && !stopped) await wake.wait(next - performance.now());
    }
    unhint();
    sent = new Map();
    running = null;
    if (listeners.size > 0 && !stopped) running = run(); // one came while the last look was made
  }

  return {
    add: (listener) => {
      for (const { json, ended } of sent.values()) if (!ended) listener(json);
      listeners.add(listener);
      if (!stopped) running ??= run();
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) wake.ring();
      };
    },
    stop: async () => {
      stopped = true;
      wake.ring();
      await running;
    },
  };
}

function toFrame({ id, projection, version, outcome, progress }: Rebuild): RebuildFrame {
  const { phase, position, target, eventsPerSecond } = progress;
  return {
    type: 'rebuild',
    id,
    projection,
    version,
    phase,
    at: position,
    target,
    eventsPerSecond,
    ...(outcome !== null && { outcome }),
  };
}

/**
 * Follows the read model's cursor and hands every event up to it to the hub: one reader of the log per process,
 * however many subscribers and waiting requests there are.
 */
import type pg from 'pg';
import { LogArchivedError } from '../../platform/postgres/read.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import { createWake } from '../../platform/wake.ts';
import type { LiveModel } from '../read-models/live-model.ts';
import type { PromptReader } from '../read-models/prompt-reader.ts';
import { toFrames } from './frame.ts';
import type { Hub } from './hub.ts';
import { push } from './push.ts';
import { readPage } from './topic.ts';

export type Tailer = {
  /**
   * Resolves when the first position is known; rejects when the database does not tell. `onSkipped`: events went past the
   * hub, since they had left the log before they were read; so old, they are of no use to anybody who follows.
   */
  start: (onSkipped: () => void) => Promise<void>;
  stop: () => Promise<void>;
  /** Looks at once. */
  ring: () => void;
  /**
   * Whoever joins the hub in this turn is surely sent all that it wants after this position, and has to read what
   * comes before by itself: of a page that is just being sent, it may be too late for some.
   */
  frontier: () => number;
  /** Goes on from where the read model is, though it was farther before: the log has lost its end. */
  rewind: () => void;
  /** All up to here went to the hub. */
  published: () => number;
};

export type TailerDeps = {
  pool: Pick<pg.Pool, 'query'>;
  live: LiveModel;
  reader: PromptReader;
  hub: Hub;
  hints: Pick<HintBus, 'on'> | null;
  log: { warn: (fields: object, message: string) => void };
};

/** The hint usually comes first; alone, this poll bounds how late the feed can be. */
const POLL_MS = 100;
const RETRY_MS = 1_000;
const PAGE = 500;

export function createTailer({ pool, live, reader, hub, hints, log }: TailerDeps): Tailer {
  const wake = createWake();
  let stopping = false;
  let running: Promise<void> | null = null;
  let frontier = 0;
  let published = 0;
  /** Counts rewinds: a page read before one is of the log that was. */
  let course = 0;

  const deliverPage = async () => {
    const mine = course;
    const upTo = live.current().position;
    if (hub.size() === 0) {
      frontier = upTo;
      published = upTo;
      return;
    }
    const events = await readPage(pool, { kind: 'all' }, published, upTo, PAGE);
    const last = events.at(-1);
    if (!last || mine !== course) return; // a replica that has not got them yet
    frontier = Math.max(frontier, last.position);
    const wanted = events.filter(hub.wants);
    const frames = await toFrames(reader, wanted);
    if (mine !== course) return;
    for (const frame of frames) push(hub, frame);
    published = last.position;
  };

  const skip = (error: LogArchivedError) => {
    log.warn({ err: error }, 'the live feed stood still for so long that it goes on from the newest event');
    frontier = live.current().position;
    published = frontier;
    onSkipped();
  };

  const run = async () => {
    while (!stopping) {
      try {
        await live.refresh();
        if (published < live.current().position) await deliverPage();
        if (published >= live.current().position) await wake.wait(POLL_MS);
      } catch (error) {
        if (error instanceof LogArchivedError) skip(error);
        else {
          log.warn({ err: error }, 'the live feed cannot read; trying again');
          await wake.wait(RETRY_MS);
        }
      }
    }
  };

  let unhint = () => {};
  let onSkipped = () => {};
  return {
    start: async (skipped) => {
      onSkipped = skipped;
      published = (await live.refresh()).position;
      frontier = published;
      unhint = hints?.on('read', wake.ring) ?? unhint;
      running = run();
    },
    stop: async () => {
      stopping = true;
      unhint();
      wake.ring();
      await running;
    },
    ring: wake.ring,
    rewind: () => {
      course += 1;
      frontier = live.current().position;
      published = frontier;
    },
    frontier: () => frontier,
    published: () => published,
  };
}

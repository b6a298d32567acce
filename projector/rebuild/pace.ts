/** A rebuild goes behind what is served: while prompts come in, it lets the projector pass before each of its pages. */
import { setTimeout } from 'node:timers/promises';
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { PROMPTS } from '../projection-store.ts';
import type { Turn } from './lanes.ts';

const LOOK = readSql(import.meta.url, 'sql/live-lag.sql');

/** Of a page, while prompts come in: what is written in one go is what the projector may have to wait for. */
const LIVE_EVENTS = 500;
const BEHIND: Turn = { mostEvents: LIVE_EVENTS, oneByOne: true };
const FREELY: Turn = { mostEvents: Infinity, oneByOne: false };
/** Of pages that are folded faster than this, some go together. */
const LOOK_EVERY_MS = 50;
const LOOK_AGAIN_MS = 5;
const LONGEST_WAIT_MS = 500;
/** Nothing moved in so much of waiting: no projector runs, or it is stuck; it is left alone for a while. */
const IN_VAIN_MS = 2_000;
const LEFT_ALONE_MS = 10_000;

export type LiveLag = { head: number; position: number; isLive: boolean };

export type Pace = {
  /** Whether prompts come in. */
  isLive: () => Promise<boolean>;
  /**
   * Before a page; resolves when and how it may be folded. While prompts come in, lanes write one by one, and what is served has
   * by then what the log had when this was called, unless that takes it longer than the page before took, or half a second: a
   * rebuild takes at most twice as long for it.
   */
  turn: () => Promise<Turn>;
};

export function createPace(
  look: () => Promise<LiveLag>,
  now: () => number = () => performance.now(),
  sleep: (ms: number) => Promise<unknown> = setTimeout,
): Pace {
  let lookedAt = -Infinity;
  let waitFrom = -Infinity;
  let inVainMs = 0;
  let next: Turn = FREELY;

  async function letPass({ head, position: from }: LiveLag, longestMs: number): Promise<void> {
    const startedAt = now();
    let position = from;
    while (position < head && now() - startedAt < longestMs) {
      await sleep(LOOK_AGAIN_MS);
      ({ position } = await look());
    }
    inVainMs = position === from ? inVainMs + now() - startedAt : 0;
    if (inVainMs < IN_VAIN_MS) return;
    inVainMs = 0;
    waitFrom = now() + LEFT_ALONE_MS;
  }

  return {
    isLive: async () => (await look()).isLive,
    turn: async () => {
      const workedMs = now() - lookedAt;
      if (workedMs < LOOK_EVERY_MS) return next;
      const seen = await look();
      next = seen.isLive ? BEHIND : FREELY;
      if (seen.isLive && seen.position < seen.head && now() >= waitFrom)
        await letPass(seen, Math.min(LONGEST_WAIT_MS, workedMs));
      lookedAt = now();
      return next;
    },
  };
}

export async function readLiveLag(pool: pg.Pool): Promise<LiveLag> {
  const { rows } = await pool.query<LiveLag>({ name: 'live-lag', text: LOOK, values: [PROMPTS] });
  return rows[0]!;
}

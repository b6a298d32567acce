/**
 * The bulk phase of a rebuild: the log is read once, in order, and folded by several lanes at a time. A lane has the
 * streams whose ids hash to it, so that none waits for another's rows; each commits its part of a page together with its
 * own cursor, while the next page is folded. After a crash pages are read again from the slowest lane on, and lanes that had
 * committed them pass over them.
 */
import { LRUCache } from 'lru-cache';
import type { PlacedEvent } from '../../contracts/envelope.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { type PlacedRow, toPlacedEvent } from '../../platform/postgres/read.ts';
import { PoisonEventError } from '../poison-event.ts';
import { type BatchRows, foldBatch, type Reading } from '../projections/prompts/fold-batch.ts';

export type LaneStep = {
  /** From 1. */
  lane: number;
  from: number;
  to: { position: number; recordedAt: string };
  events: number;
  rows: BatchRows;
};

export type LaneStore = {
  /** Where each lane stands, lane 1 first. */
  positions: () => Promise<number[]>;
  /** The log after a position, gapless. */
  read: (after: number, limit: number, upTo: number) => Promise<PlacedRow[]>;
  /** States folded so far, of those of the streams that have one. */
  load: (streamIds: string[]) => Promise<ReadonlyMap<string, PromptState>>;
  /** Throws when the lane does not stand at `from`: somebody else is rebuilding this version. */
  write: (step: LaneStep) => Promise<void>;
};

export type FoldOptions = {
  store: LaneStore;
  target: number;
  reading?: Reading | undefined;
  /** After each page: up to where all lanes have committed, and how many events this process has folded. */
  onPage?: (done: { position: number; events: number }) => void;
  /** Before each page: resolves when it may be folded. */
  turn?: (() => Promise<Turn>) | undefined;
  signal?: AbortSignal | undefined;
  /** Of a page: what is folded of it is folded in one go, and nothing else of this process runs meanwhile. */
  mostEvents?: number | undefined;
};

export type Turn = {
  /** Of the page after it. */
  mostEvents: number;
  /** Lanes write one after the other: somebody else needs the server too. */
  oneByOne: boolean;
};

/** States that may soon be needed again; the rest is read back, so that memory does not grow with the log. */
const STATES_KEPT = 20_000;
/** Of a page, in characters of JSON: a few pages are in memory at a time. */
const PAGE_CHARACTERS = 8_000_000;
const MOST_EVENTS = 2_000;
/** Before it is known how large they are. */
const FIRST_EVENTS = 500;

/** Which of `lanes` lanes has a stream: by the last byte of its id, which is as good as random. */
export const laneOf = (streamId: string, lanes: number): number =>
  1 + (Number.parseInt(streamId.slice(-2), 16) % lanes);

/** Resolves when all lanes are at `target`. Rejects with `PoisonEventError` at the first event that cannot be folded. */
export async function foldInLanes(options: FoldOptions): Promise<void> {
  const { store, target, signal, mostEvents = MOST_EVENTS } = options;
  const at = await store.positions();
  const states = new LRUCache<string, PromptState>({ max: STATES_KEPT });
  /** The last write of each lane, which may be under way while the next page is folded. */
  const writing: Promise<void>[] = at.map(() => Promise.resolve());
  let limit = Math.min(FIRST_EVENTS, mostEvents);
  let events = 0;
  let position = Math.min(...at);
  let next = readPage(position);
  try {
    while (position < target) {
      signal?.throwIfAborted();
      const turn = (await options.turn?.()) ?? { mostEvents, oneByOne: false };
      const page = await next;
      const last = page.at(-1);
      if (!last) throw new Error(`the log ends at ${position}, before ${target}`);
      limit = fittingLimit(page, Math.min(mostEvents, turn.mostEvents));
      if (last.position < target) next = readPage(last.position);
      const steps = parts(page, at.length).map((rows, i) => () => step(i, rows, last));
      await allLanes(turn.oneByOne ? await oneByOne(steps) : steps.map((begin) => begin()));
      // By now the page before is written.
      await told();
      position = last.position;
      events += page.length;
    }
    await allLanes(writing);
    await told();
  } finally {
    // None reads or writes after this has rejected; what failed first is thrown.
    await Promise.allSettled([next, ...writing]);
  }

  async function oneByOne(steps: (() => Promise<void>)[]): Promise<Promise<void>[]> {
    const ended: Promise<void>[] = [];
    for (const [i, begin] of steps.entries()) {
      const one = begin().then(() => writing[i]);
      ended.push(one);
      await Promise.allSettled([one]);
    }
    return ended;
  }

  async function told(): Promise<void> {
    if (events === 0) return;
    options.onPage?.({ position, events });
    await failPoint('rebuild.page_folded');
  }

  function readPage(after: number): Promise<PlacedRow[]> {
    const reading = store.read(after, limit, target);
    reading.catch(() => {}); // heard when it is awaited
    return reading;
  }

  /** Folds a lane's part of a page; its write begins when the one before has ended, and is not waited for. */
  async function step(index: number, part: PlacedRow[], last: PlacedRow): Promise<void> {
    const from = at[index]!;
    if (last.position <= from) return; // committed before the crash
    const rows = part.filter((row) => row.position > from);
    const unknown = new Set(rows.filter((row) => row.version > 1).map((row) => row.stream_id));
    for (const row of rows) if (row.version === 1 || states.has(row.stream_id)) unknown.delete(row.stream_id);
    const before = new Map<string, PromptState>();
    for (const row of rows) {
      const state = states.get(row.stream_id);
      if (state) before.set(row.stream_id, state);
    }
    if (unknown.size > 0) {
      await writing[index]; // what is looked for may be in it
      for (const [id, state] of await store.load([...unknown])) before.set(id, state);
    }
    const batch = foldBatch(before, rows.map(lift), options.reading);
    for (const { state } of batch.prompts) {
      // A finished prompt is seldom heard of again.
      if (state.finishedAt === null) states.set(state.promptId, state);
      else states.delete(state.promptId);
    }
    at[index] = last.position;
    await writing[index];
    const to = { position: last.position, recordedAt: last.recorded_at };
    const write = store.write({ lane: index + 1, from, to, events: rows.length, rows: batch });
    write.catch(() => {}); // heard when it is awaited
    writing[index] = write;
  }

  function lift(row: PlacedRow): PlacedEvent {
    try {
      return toPlacedEvent(row);
    } catch (error) {
      throw new PoisonEventError({ streamId: row.stream_id, position: row.position }, error);
    }
  }
}

/** Waits for every lane, so that none writes after this has rejected, and of two poison events the first in the log is told. */
async function allLanes(steps: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(steps)).flatMap((step) => (step.status === 'rejected' ? [step.reason] : []));
  const poison = failed.filter((error) => error instanceof PoisonEventError).sort((a, b) => a.position - b.position);
  if (failed.length > 0) throw failed.find((error) => !(error instanceof PoisonEventError)) ?? poison[0];
}

function parts(page: PlacedRow[], lanes: number): PlacedRow[][] {
  const split: PlacedRow[][] = Array.from({ length: lanes }, () => []);
  for (const row of page) split[laneOf(row.stream_id, lanes) - 1]!.push(row);
  return split;
}

/** As many events as a page may have characters, judged by the page before. */
function fittingLimit(page: PlacedRow[], mostEvents: number): number {
  let characters = 0;
  for (const { data } of page) {
    const { prompt, answer } = data as { prompt?: string; answer?: string };
    characters += 800 + (prompt?.length ?? 0) + (answer?.length ?? 0);
  }
  return Math.min(mostEvents, Math.max(100, Math.floor((PAGE_CHARACTERS * page.length) / characters)));
}

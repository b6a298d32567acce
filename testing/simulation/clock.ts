/**
 * Virtual time for a whole process: timers, clocks and randomness of the real code run on it while a simulation is on.
 * Every timer belongs to the actor that set it; a dead actor's never fire, a paused one's wait for it. Nothing in a run
 * does real input or output, so what a seed does is always the same.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Random } from '../kit/random.ts';

export type Actor = { name: string; dead: boolean; paused: boolean; held: (() => void)[] };
export const createActor = (name: string): Actor => ({ name, dead: false, paused: false, held: [] });

type Due = { at: number; seq: number; actor: Actor | null; run: () => void };

export type Clock = {
  readonly now: number;
  /** As the actor that calls, unless one is given; `null`: the world, which neither dies nor pauses. */
  at: (ms: number, run: () => void, actor?: Actor | null) => () => void;
  as: <T>(actor: Actor, run: () => T) => T;
  resume: (actor: Actor) => void;
  /** Runs what is due until `done` says so or the time is over; false: the time was over. */
  runUntil: (ms: number, done?: () => boolean) => Promise<boolean>;
};

const EPOCH = Date.parse('2026-05-01T00:00:00.000Z');
const realSetImmediate = setImmediate;
const RealDate = Date;

/** Puts virtual time in the place of the real one while `work` runs. One at a time. */
export async function withVirtualTime<T>(random: Random, work: (clock: Clock) => Promise<T>): Promise<T> {
  const current = new AsyncLocalStorage<Actor | null>();
  const queue = createQueue();
  let now = 0;
  let seq = 0;

  const at: Clock['at'] = (ms, run, actor = current.getStore() ?? null) => {
    const due: Due = { at: now + Math.max(0, ms), seq: seq++, actor, run };
    queue.push(due);
    return () => {
      due.run = () => {};
    };
  };
  const fire = ({ actor, run }: Due) => {
    if (actor?.dead) return;
    if (actor?.paused) actor.held.push(run);
    else current.run(actor, run);
  };
  const clock: Clock = {
    get now() {
      return now;
    },
    at,
    as: (actor, run) => current.run(actor, run),
    resume: (actor) => {
      actor.paused = false;
      for (const run of actor.held.splice(0)) at(0, run, actor);
    },
    runUntil: async (ms, done = () => false) => {
      for (;;) {
        // All that promises have to do, before the next event.
        await new Promise((resolve) => realSetImmediate(resolve));
        if (done()) return true;
        const next = queue.peek();
        if (!next || next.at > ms) {
          now = Math.max(now, ms);
          return false;
        }
        queue.pop();
        now = Math.max(now, next.at);
        fire(next);
      }
    },
  };

  const every = (run: () => void, ms: number): (() => void) => {
    let stop = () => {};
    const again = () => {
      stop = at(ms, again);
      run();
    };
    stop = at(ms, again);
    return () => stop();
  };
  const replaced = {
    setTimeout: (run: () => void, ms = 0) => at(ms, run),
    clearTimeout: (stop?: () => void) => stop?.(),
    setInterval: every,
    clearInterval: (stop?: () => void) => stop?.(),
    setImmediate: (run: () => void) => at(0, run),
    Date: class extends RealDate {
      constructor(...args: [] | [string | number | Date]) {
        super(args.length === 0 ? EPOCH + Math.floor(now) : args[0]);
      }
      static override now = () => EPOCH + Math.floor(now);
    },
  };
  const before = Object.fromEntries(
    Object.keys(replaced).map((name) => [name, globalThis[name as keyof typeof globalThis]]),
  );
  const { random: mathRandom } = Math;
  Object.assign(globalThis, replaced);
  Math.random = random.next;
  performance.now = () => now;
  try {
    return await work(clock);
  } finally {
    Object.assign(globalThis, before);
    Math.random = mathRandom;
    delete (performance as { now?: () => number }).now;
  }
}

/** A binary heap by time, then by the order of coming. */
function createQueue() {
  const heap: Due[] = [];
  const before = (a: Due, b: Due) => a.at < b.at || (a.at === b.at && a.seq < b.seq);
  const swap = (i: number, j: number) => {
    [heap[i], heap[j]] = [heap[j]!, heap[i]!];
  };
  return {
    peek: () => heap[0],
    push: (due: Due) => {
      heap.push(due);
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1;
        if (!before(heap[i]!, heap[parent]!)) return;
        swap(i, parent);
        i = parent;
      }
    },
    pop: () => {
      const last = heap.pop();
      if (heap.length === 0 || !last) return;
      heap[0] = last;
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2];
        let first = i;
        if (left < heap.length && before(heap[left]!, heap[first]!)) first = left;
        if (right < heap.length && before(heap[right]!, heap[first]!)) first = right;
        if (first === i) return;
        swap(i, first);
        i = first;
      }
    },
  };
}

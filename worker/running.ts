/** The attempts this process runs, and its free slots. */
import type { AbortReason } from './providers/provider.ts';

export type RunningAttempt = {
  promptId: string;
  token: string;
  /** Entry of the `tasks` stream it came from. */
  entryId: string;
  controller: AbortController;
};

export type Running = {
  readonly slots: number;
  readonly free: number;
  readonly count: number;
  /** Takes slots before anything is read, so that never more is read than can be worked on. */
  reserve: (n: number) => void;
  release: (n: number) => void;
  add: (attempt: RunningAttempt) => void;
  remove: (attempt: RunningAttempt) => void;
  all: () => RunningAttempt[];
  abort: (token: string, reason: AbortReason) => void;
  /** Resolves when a slot is free. */
  whenFree: () => Promise<void>;
  /** Resolves when nothing is reserved or running. */
  whenIdle: () => Promise<void>;
};

export function createRunning(slots: number): Running {
  const attempts = new Map<string, RunningAttempt>();
  let taken = 0;
  let waiters: { ready: () => boolean; resolve: () => void }[] = [];

  const check = () => {
    const due = waiters.filter((waiter) => waiter.ready());
    waiters = waiters.filter((waiter) => !waiter.ready());
    for (const waiter of due) waiter.resolve();
  };
  const when = (ready: () => boolean): Promise<void> =>
    ready() ? Promise.resolve() : new Promise((resolve) => waiters.push({ ready, resolve }));

  return {
    slots,
    get free() {
      return slots - taken;
    },
    get count() {
      return attempts.size;
    },
    reserve: (n) => {
      taken += n;
    },
    release: (n) => {
      taken -= n;
      check();
    },
    add: (attempt) => attempts.set(attempt.token, attempt),
    remove: (attempt) => attempts.delete(attempt.token),
    all: () => [...attempts.values()],
    abort: (token, reason) => attempts.get(token)?.controller.abort(reason),
    whenFree: () => when(() => taken < slots),
    whenIdle: () => when(() => taken === 0),
  };
}

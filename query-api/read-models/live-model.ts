/** Which version of the read model is served, and how far it is. One per process; the feed's tailer keeps it fresh. */
import type pg from 'pg';
import { findLiveVersion, readLiveVersion } from '../../platform/postgres/live-version.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';

export type LiveState = {
  version: number;
  position: number;
  /** When the last event folded in was recorded; null before the first. */
  asOf: string | null;
  /** Changes when a stream that was set aside is replayed, which moves no cursor. */
  aside: number;
  /** Start of the server, in microseconds since 1970: after another start it may hold an older log. */
  upSince: number;
};

export type LiveModel = {
  current: () => LiveState;
  /** Asks the database; at most one question is under way, callers share it. Rejects while it cannot answer. */
  refresh: () => Promise<LiveState>;
  /** A read of this process met a cursor: whatever was kept from before it is old now. */
  saw: (position: number) => void;
  /** True once the read model has `position`, false after `ms` or when `signal` aborts. */
  waitFor: (position: number, ms: number, signal?: AbortSignal) => Promise<boolean>;
  /** Runs a read against the served version; once more when that version was switched and dropped meanwhile. */
  read: <T>(run: (version: number) => Promise<T>) => Promise<T>;
};

const HAS_ALL_OF = readSql(import.meta.url, '../sql/has-all-of.sql');

type Waiter = { position: number; done: (reached: boolean) => void };

export type LiveModelOptions = {
  /** Called when a read has met a newer cursor than is known here. */
  onSeen?: () => void;
  /** Where the log ends; asked when a cursor is older than one that was met. Without it what was seen stays seen. */
  readHead?: () => Promise<number>;
  /** The log ends before what was seen: a standby without its end has become the primary. `current()` is of that log. */
  onRewound?: () => void;
};

export function createLiveModel(pool: Pick<pg.Pool, 'query'>, options: LiveModelOptions = {}): LiveModel {
  const { onSeen, readHead, onRewound } = options;
  let state: LiveState = { version: 0, position: 0, asOf: null, aside: 0, upSince: 0 };
  let asking: Promise<LiveState> | null = null;
  const waiters = new Set<Waiter>();

  const advance = (position: number) => {
    if (position <= state.position) return;
    state = { ...state, position };
    for (const waiter of waiters) if (waiter.position <= position) waiter.done(true);
  };

  const ask = async (): Promise<LiveState> => {
    const found = await findLiveVersion(pool);
    const seen = state.position; // reads may see more while the head is asked for
    if (found.position < seen && readHead && (await readHead()) < seen) {
      const { version, position, aside, upSince } = found;
      state = { version, position, aside, upSince, asOf: found.asOf === '-infinity' ? null : found.asOf };
      onRewound?.();
      return state;
    }
    // For a moment after a switch the former version may be folded first: what was read of it must be in the other one, too.
    if (state.version > 0 && found.version !== state.version && !(await hasAllOf(found.version))) return state;
    // A replica may answer with an older cursor than another one did: what was seen stays seen.
    const asOf = found.position >= state.position && found.asOf !== '-infinity' ? found.asOf : state.asOf;
    state = { ...state, version: found.version, asOf, aside: found.aside, upSince: found.upSince };
    advance(found.position);
    return state;
  };

  const hasAllOf = async (version: number): Promise<boolean> => {
    const values = [version, state.version];
    const { rows } = await pool.query<{ has_all: boolean }>({ name: 'has-all-of', text: HAS_ALL_OF, values });
    return rows[0]?.has_all ?? true;
  };

  const refresh = () => {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  };

  return {
    current: () => state,
    refresh,
    saw: (position) => {
      if (position <= state.position) return;
      advance(position);
      onSeen?.();
    },
    waitFor: (position, ms, signal) => {
      if (state.position >= position) return Promise.resolve(true);
      if (signal?.aborted) return Promise.resolve(false);
      return new Promise((resolve) => {
        const waiter: Waiter = {
          position,
          done: (reached) => {
            waiters.delete(waiter);
            clearTimeout(timer);
            signal?.removeEventListener('abort', give);
            resolve(reached);
          },
        };
        const give = () => waiter.done(false);
        const timer = setTimeout(give, ms);
        signal?.addEventListener('abort', give, { once: true });
        waiters.add(waiter);
      });
    },
    read: (run) => readLiveVersion(refresh, run, state.version > 0 ? state.version : null),
  };
}

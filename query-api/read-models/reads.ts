/**
 * Reads from a replica, and from the primary in its place while the replica is away.
 *
 * Going over is easy: the primary has all that the replica had. Going back must not go back in time: whoever was shown a
 * position of the primary's, or waited for it, must find it on the replica, too. So new reads are held for a moment, until those
 * under way at the primary have ended and nothing more can be promised, and the replica has all that was.
 */
import type pg from 'pg';
import { isRefused } from '../../platform/postgres/refused-login.ts';
import { isConnectionLoss, sqlState } from '../../platform/postgres/sqlstate.ts';
import { NoAnswerError, within } from '../../platform/within.ts';

export type ReadPool = Pick<pg.Pool, 'query' | 'connect'>;

export type Reads = ReadPool & { close: () => void };

export type ReadsOptions = {
  replica: ReadPool;
  /** A pool of its own, so that keys and streams do not wait for what the replica should have answered. */
  primary: ReadPool;
  /** The latest position that a read was shown or has waited for. */
  promised: () => number;
  /** How far a server's read model is. */
  cursorOf: (db: ReadPool) => Promise<number>;
  log: Record<'info' | 'warn', (fields: object, message: string) => void>;
  /** Between two looks whether the replica is there again. */
  lookEveryMs?: number;
};

/** For a replica that is farther behind nobody is held, and nobody for longer than three times this. */
const HOLD_MS = 250;
const ASK_AGAIN_MS = 20;

export function createReads(options: ReadsOptions): Reads {
  const { replica, primary, promised, cursorOf, log, lookEveryMs = 1_000 } = options;
  let isAway = false;
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Reads at the primary. */
  let underWay = 0;
  let onIdle = () => {};
  let held: Promise<void> | null = null;

  async function ask<T>(work: (db: ReadPool) => Promise<T>): Promise<T> {
    for (;;) {
      if (held) await held;
      else if (isAway) return atPrimary(() => work(primary));
      else {
        try {
          return await work(replica);
        } catch (error) {
          if (!isGone(error)) throw error;
          leave(error);
        }
      }
    }
  }

  async function atPrimary<T>(work: () => Promise<T>): Promise<T> {
    underWay += 1;
    try {
      return await work();
    } finally {
      end();
    }
  }
  const end = () => {
    underWay -= 1;
    if (underWay === 0) onIdle();
  };

  /** A connection that is lent out: it tells only at its release how it went, and counts as under way until then. */
  async function lend(db: ReadPool): Promise<pg.PoolClient> {
    const client = await db.connect();
    const { release } = client; // the pool sets it anew whenever it lends the connection
    if (db === primary) underWay += 1;
    client.release = (error) => {
      release(error);
      if (db === primary) end();
      else if (isGone(error)) leave(error);
    };
    return client;
  }

  function leave(error: unknown): void {
    if (isAway || isClosed) return;
    isAway = true;
    log.warn({ err: error }, 'reads: the replica is away, the primary answers in its place');
    lookLater();
  }

  function lookLater(): void {
    if (isClosed) return;
    timer = setTimeout(() => void look(), lookEveryMs);
    timer.unref();
  }

  async function look(): Promise<void> {
    let isBack = false;
    try {
      isBack = await goBack();
    } catch (error) {
      if (!isGone(error) && !(error instanceof NoAnswerError))
        log.warn({ err: error }, 'reads: the replica answers, but not how far it is');
    }
    if (isBack) log.info({}, 'reads: the replica has caught up and is read from again');
    else lookLater();
  }

  /** Whoever asks in the meantime is held. False: it has not got all that was promised. */
  async function goBack(): Promise<boolean> {
    if (!(await catchesUp())) return false;
    let release = () => {};
    held = new Promise((resolve) => {
      release = resolve;
    });
    try {
      await within(HOLD_MS, idle());
      isAway = !(await catchesUp()); // before anybody goes on
      return !isAway;
    } finally {
      held = null;
      onIdle = () => {};
      release();
    }
  }

  const idle = (): Promise<void> =>
    new Promise((resolve) => {
      if (underWay === 0) resolve();
      else onIdle = resolve;
    });

  async function catchesUp(): Promise<boolean> {
    const deadline = performance.now() + HOLD_MS;
    for (;;) {
      const position = await within(HOLD_MS, cursorOf(replica));
      if (position >= promised()) return true;
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  return {
    query: ((statement: pg.QueryConfig, values?: unknown[]) =>
      ask((db) => db.query(statement, values))) as unknown as pg.Pool['query'],
    connect: (() => ask(lend)) as unknown as pg.Pool['connect'],
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** It cannot be asked now: no connection, none for us, none to spare (53300), or it is starting up (57P03). */
const isGone = (error: unknown): boolean =>
  isConnectionLoss(error) || isRefused(error) || ['53300', '57P03'].includes(sqlState(error) ?? '');

/**
 * Postgres' clock as this process sees it: asked now and then, carried on by the monotonic clock in between, so that the
 * machine's own time, and whoever sets it, decides nothing.
 */
import type pg from 'pg';
import { patiently } from './patiently.ts';

export type ServerClock = {
  /** Right to within half the time that the answer took. */
  now: () => Date;
  stop: () => void;
};

type Reading = { atMs: number; heardAt: number };

/** Resolves when the time is known. A look that fails is reported, and the former one carried on. */
export async function followServerClock(
  pool: Pick<pg.Pool, 'query'>,
  { everyMs = 10_000, onError }: { everyMs?: number; onError: (error: Error) => void },
): Promise<ServerClock> {
  let reading = await patiently(() => readServerTime(pool));
  const timer = setInterval(() => {
    readServerTime(pool).then((next) => {
      reading = next;
    }, onError);
  }, everyMs);
  timer.unref();
  return {
    now: () => new Date(reading.atMs + performance.now() - reading.heardAt),
    stop: () => clearInterval(timer),
  };
}

/** The server's time, milliseconds since 1970, at a point of this process's monotonic clock. */
export async function readServerTime(pool: Pick<pg.Pool, 'query'>): Promise<Reading> {
  const askedAt = performance.now();
  const text = 'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms';
  const { rows } = await pool.query<{ ms: number }>(text);
  return { atMs: rows[0]!.ms, heardAt: (askedAt + performance.now()) / 2 };
}

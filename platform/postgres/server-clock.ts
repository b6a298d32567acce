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

type Reading = { atMs: number; heardAt: number; tookMs: number };

/** An answer that took longer tells the time less well than the monotonic clock that goes on from an earlier one. */
const SLOW_MS = 200;

/** Resolves when the time is known. A look that fails is reported, and the former one carried on. */
export async function followServerClock(
  pool: Pick<pg.Pool, 'connect'>,
  { everyMs = 10_000, onError }: { everyMs?: number; onError: (error: Error) => void },
): Promise<ServerClock> {
  let reading = await patiently(() => readServerTime(pool));
  let isAsking = false;
  const look = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      const next = await readServerTime(pool);
      if (next.tookMs <= Math.max(SLOW_MS, reading.tookMs)) reading = next;
    } catch (error) {
      onError(error as Error);
    } finally {
      isAsking = false;
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  return {
    now: () => new Date(reading.atMs + performance.now() - reading.heardAt),
    stop: () => clearInterval(timer),
  };
}

/** The time that an append would be given, milliseconds since 1970, at a point of this process's monotonic clock. */
export async function readServerTime(pool: Pick<pg.Pool, 'connect'>): Promise<Reading> {
  const client = await pool.connect(); // for a connection one may wait long
  let failed: Error | undefined;
  try {
    const askedAt = performance.now();
    const text = `SELECT extract(epoch FROM greatest(recorded_at, clock_timestamp()))::float8 * 1000 AS ms FROM log_head`;
    const { rows } = await client.query<{ ms: number }>(text);
    const tookMs = performance.now() - askedAt;
    return { atMs: rows[0]!.ms, heardAt: askedAt + tookMs / 2, tookMs };
  } catch (error) {
    failed = error as Error;
    throw error;
  } finally {
    client.release(failed);
  }
}

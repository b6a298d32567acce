import { isConnectionLoss, isRetryable } from './sqlstate.ts';

const TRIES = 60;

/**
 * For what a process must read before it can serve: while Postgres is away it waits, a minute at most, instead of
 * ending and being started again by its supervisor.
 */
export async function patiently<T>(read: () => Promise<T>, pauseMs = 1_000): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await read();
    } catch (error) {
      if (tries >= TRIES || !(isConnectionLoss(error) || isRetryable(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

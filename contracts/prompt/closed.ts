/** When a stream has ended for good, so that it may leave the log. */
import { isTerminal, type PromptState } from './state.ts';

/**
 * True when nothing but an admin's correction of a cost can ever add an event: it has ended, cannot be redriven (not failed,
 * or expired at `now`, RFC 3339), and of no attempt a cost or an end may still be told, as by a worker's spool. Once true it
 * stays so.
 */
export function isClosed(state: PromptState, now: string): boolean {
  if (!isTerminal(state.status)) return false;
  if (state.status === 'failed' && (state.expiresAt === null || Date.parse(state.expiresAt) > Date.parse(now)))
    return false;
  return state.attempts.every(({ end, nanoUsd }) => end !== 'open' && end !== 'lost' && nanoUsd !== null);
}

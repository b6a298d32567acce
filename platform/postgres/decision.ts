/** From a decision of contracts/prompt/decide.ts to the append that carries it out, or is refused as outdated. */
import type { EventMetadata } from '../../contracts/envelope.ts';
import type { Decision } from '../../contracts/prompt/decide.ts';
import type { Lane } from '../../contracts/prompt/events.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { deriveEventId } from '../ids.ts';
import type { Append, OutboxWrite } from './append.ts';

export const laneNumber = (lane: Lane): 0 | 1 | 2 => (lane === 'interactive' ? 0 : lane === 'normal' ? 1 : 2);

/** What only the caller knows of the outbox row: the claim's terms, and what must hold for the row to be changed. */
export type OutboxTerms = {
  claim?: { dispatch: number; token: string; worker: string; leaseSeconds: number; holdSeconds: number | null };
  guard?: { token?: string; dead?: true; expired?: true };
};

export function toAppend(
  state: PromptState,
  decision: Decision,
  metadata: EventMetadata,
  terms: OutboxTerms = {},
): Append {
  return {
    streamId: state.promptId,
    expectedVersion: state.version,
    events: decision.events.map(({ key, type, data }) => ({
      eventId: deriveEventId(state.promptId, key),
      type,
      data,
      metadata,
    })),
    outbox: toOutboxWrite(state, decision, metadata, terms),
  };
}

function toOutboxWrite(
  state: PromptState,
  { outbox }: Decision,
  metadata: EventMetadata,
  { claim, guard }: OutboxTerms,
): OutboxWrite | null {
  switch (outbox?.op) {
    case undefined:
      return null;
    case 'claim': {
      if (!claim) throw new Error('a claim needs its terms');
      const { dispatch, token, worker, leaseSeconds, holdSeconds } = claim;
      return { op: 'claim', dispatch, token, worker, attempt: outbox.attempt, lease: leaseSeconds, hold: holdSeconds };
    }
    case 'reschedule':
      return { op: 'reschedule', after: outbox.afterSeconds, ...guard };
    case 'close':
      return { op: 'close' };
    case 'drop':
      return { op: 'drop', ...guard };
    case 'reopen':
      return {
        op: 'open',
        user: state.userId,
        model: state.model,
        lane: laneNumber(state.lane),
        expires: state.expiresAt,
        unexpired: true,
        trace: metadata.traceparent,
        attempt: state.attempts.length,
      };
  }
}

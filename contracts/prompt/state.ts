/**
 * A prompt as its events tell it. `evolve` is total: any event of the stream, in order, gives the next state,
 * and nothing but the event and its place in the log is read (no clock, no randomness).
 */
import type { PlacedEvent } from '../envelope.ts';
import type { Usage } from '../usage.ts';
import type { AttemptEnd, Lane, RetryPolicy } from './events.ts';

export type PromptStatus = 'queued' | 'running' | 'retrying' | 'completed' | 'failed' | 'cancelled' | 'expired';

/** `null` + bound: not known. A known cost replaces the bound, it is never added to it. */
export type AttemptCost = { nanoUsd: number | null; boundNanoUsd: number | null; priceVersion: string | null };

export type AttemptState = AttemptCost & {
  attempt: number;
  generation: number;
  token: string;
  startedAt: string;
  endedAt: string | null;
  /** `open`: running, or lost and not yet noticed. `answered`: its answer is the prompt's. */
  end: 'open' | 'answered' | 'discarded' | AttemptEnd;
  usage: Usage | null;
  emulated: boolean;
  /** Only in a prompt that is read at other prices: it was charged at prices that are not these. */
  ratedAnew?: true;
};

export type PromptState = {
  promptId: string;
  userId: string;
  model: string;
  lane: Lane;
  retry: RetryPolicy;
  conversationId: string | null;
  notBefore: string | null;
  expiresAt: string | null;
  metadata: Record<string, string>;
  boundNanoUsd: number | null;
  priceVersion: string | null;
  submittedAt: string;
  /** First attempt's start; null while none has started. */
  startedAt: string | null;
  finishedAt: string | null;
  status: PromptStatus;
  generation: number;
  attempts: AttemptState[];
  finishReason: string | null;
  truncated: boolean;
  error: { code: string; message: string } | null;
  /** Of the stream: expected version for the next append. */
  version: number;
  /** Of its first event. */
  submittedPosition: number;
  /** Of the last event folded in. */
  position: number;
};

/** The states a prompt leaves only by a redrive. */
export const isTerminal = (status: PromptStatus): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'expired';

/** The attempt whose end is not on record yet; there is at most one. */
export const openAttempt = (state: PromptState): AttemptState | undefined =>
  state.attempts.find((attempt) => attempt.end === 'open');

/** Attempts of this generation that count against the retry budget: not the surely uncalled, nor the parked. */
export const countedAttempts = (state: PromptState): number =>
  state.attempts.filter(
    ({ generation, end }) => generation === state.generation && end !== 'not_called' && end !== 'parked',
  ).length;

/** Throws on a stream that does not begin with `PromptSubmitted`: such a log is damaged. */
export function evolve(state: PromptState | null, event: PlacedEvent): PromptState {
  if (event.type === 'PromptSubmitted') return submitted(event);
  if (!state) throw new Error(`stream ${event.streamId} has ${event.type} at ${event.position} before PromptSubmitted`);
  const next: PromptState = { ...state, version: event.version, position: event.position };
  switch (event.type) {
    case 'AttemptStarted':
      return {
        ...next,
        status: 'running',
        startedAt: state.startedAt ?? event.recordedAt,
        attempts: [
          ...state.attempts,
          {
            attempt: event.data.attempt,
            generation: event.data.generation,
            token: event.data.token,
            startedAt: event.recordedAt,
            endedAt: null,
            end: 'open',
            usage: null,
            emulated: false,
            nanoUsd: null,
            boundNanoUsd: event.data.boundNanoUsd,
            priceVersion: event.data.priceVersion,
          },
        ],
      };
    case 'AttemptFailed':
      return {
        ...next,
        status: isTerminal(state.status) ? state.status : 'retrying',
        attempts: settled(state.attempts, event.data, event.data.end, event.recordedAt),
      };
    case 'AttemptDiscarded':
      return { ...next, attempts: settled(state.attempts, event.data, 'discarded', event.recordedAt) };
    case 'AttemptCostCorrected': {
      const { attempt, nanoUsd } = event.data;
      return {
        ...next,
        attempts: state.attempts.map((one) =>
          one.attempt === attempt ? { ...one, nanoUsd, boundNanoUsd: null } : one,
        ),
      };
    }
    case 'PromptCompleted':
      return {
        ...next,
        status: 'completed',
        finishedAt: event.recordedAt,
        finishReason: event.data.finishReason,
        truncated: event.data.truncated,
        error: null,
        attempts: settled(state.attempts, event.data, 'answered', event.recordedAt),
      };
    case 'PromptFailed':
      return {
        ...next,
        status: 'failed',
        finishedAt: event.recordedAt,
        error: { code: event.data.code, message: event.data.message },
      };
    case 'PromptCancelled':
      return { ...next, status: 'cancelled', finishedAt: event.recordedAt };
    case 'PromptExpired':
      return { ...next, status: 'expired', finishedAt: event.recordedAt };
    case 'PromptRequeued':
      return { ...next, status: 'queued', generation: event.data.generation, finishedAt: null, error: null };
  }
}

function submitted(event: PlacedEvent & { type: 'PromptSubmitted' }): PromptState {
  const { data } = event;
  return {
    promptId: event.streamId,
    userId: data.userId,
    model: data.model,
    lane: data.lane,
    retry: data.retry,
    // As Postgres spells it, whatever was sent.
    conversationId: data.conversationId?.toLowerCase() ?? null,
    notBefore: data.notBefore,
    expiresAt: data.expiresAt,
    metadata: data.metadata,
    boundNanoUsd: data.costBound,
    priceVersion: data.priceVersion,
    submittedAt: event.recordedAt,
    startedAt: null,
    finishedAt: null,
    status: 'queued',
    generation: 0,
    attempts: [],
    finishReason: null,
    truncated: false,
    error: null,
    version: event.version,
    submittedPosition: event.position,
    position: event.position,
  };
}

type Settlement = {
  attempt: number;
  usage: Usage | null;
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  priceVersion: string | null;
  emulated: boolean;
};

/**
 * Cost is folded per attempt, unknown → known and only once: a later word about an attempt whose cost is
 * already known changes nothing of its money.
 */
function settled(
  attempts: AttemptState[],
  data: Settlement,
  end: AttemptState['end'],
  recordedAt: string,
): AttemptState[] {
  return attempts.map((attempt) => {
    if (attempt.attempt !== data.attempt) return attempt;
    const known = attempt.end !== 'open' && attempt.nanoUsd !== null;
    const cost = known
      ? {}
      : {
          nanoUsd: data.nanoUsd,
          boundNanoUsd: data.nanoUsd === null ? data.boundNanoUsd : null,
          priceVersion: data.priceVersion,
          usage: data.usage,
          emulated: data.emulated,
        };
    return { ...attempt, ...cost, end, endedAt: attempt.endedAt ?? recordedAt };
  });
}

/** Folds a whole stream; `null` for an empty one. */
export function fold(events: Iterable<PlacedEvent>, from: PromptState | null = null): PromptState | null {
  let state = from;
  for (const event of events) state = evolve(state, event);
  return state;
}

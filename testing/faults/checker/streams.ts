/** The log as the checker reads it: its own small fold, written apart from the one it judges. */
import type { Evidence, LoggedEvent, Operation } from '../evidence.ts';

export type Violation = { invariant: string; promptId: string | null; message: string };
export type Judge = (evidence: Evidence) => Violation[];

export const TERMINAL: ReadonlySet<string> = new Set([
  'PromptCompleted',
  'PromptFailed',
  'PromptCancelled',
  'PromptExpired',
]);

/** By prompt, in the order of the log. */
export function streamsOf({ database }: Evidence): Map<string, LoggedEvent[]> {
  return Map.groupBy(database.log, (event) => event.streamId);
}

export const asksOf = ({ operations }: Evidence): Operation[] => operations.filter(({ kind }) => kind === 'ask');
export const callsByAttempt = ({ calls }: Evidence) => Map.groupBy(calls, ({ attemptId }) => attemptId ?? '');

/** What the provider charges for an attempt, nano-USD; null: nobody can say. */
export function chargeOf(calls: ReturnType<typeof callsByAttempt>, promptId: string, attempt: number): number | null {
  const call = calls.get(`${promptId}/${attempt}`)?.[0];
  return call?.billed ? call.nanoUsd : 0;
}

export type AttemptFold = {
  attempt: number;
  generation: number;
  token: string;
  /** Process that began it. */
  worker: string;
  startedAt: number;
  /** Of its AttemptStarted; null: not told. */
  committedAt: number | null;
  startedPosition: number;
  /** Of the last event that told how it ended, or what it cost. */
  settledPosition: number | null;
  endedAt: number | null;
  /** Its lease ended before its outcome came; an outcome that came later does not undo that. */
  lostAt: number | null;
  /** `open`, `answered`, `discarded`, or how it failed. */
  end: string;
  /** Of its failure, or of what it was discarded for. */
  code: string | null;
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  /** How often a known cost was recorded. */
  knownCosts: number;
};
export type Fold = {
  promptId: string;
  userId: string;
  model: string;
  retry: string;
  status: string;
  generation: number;
  attempts: AttemptFold[];
  last: LoggedEvent;
};

const STATUS: Record<string, string> = {
  AttemptStarted: 'running',
  PromptCompleted: 'completed',
  PromptFailed: 'failed',
  PromptCancelled: 'cancelled',
  PromptExpired: 'expired',
  PromptRequeued: 'queued',
};

/** The prompt's status after each of its events, in order. */
export function statusesOf(events: LoggedEvent[]): string[] {
  let status = 'queued';
  return events.map(({ type }) => {
    const ended = ENDED.has(status);
    if (type === 'AttemptFailed') status = ended ? status : 'retrying';
    else status = STATUS[type] ?? status;
    return status;
  });
}
const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled', 'expired']);

/** Null when the stream does not begin with its submission. */
export function foldStream(events: LoggedEvent[]): Fold | null {
  const [first] = events;
  if (first?.type !== 'PromptSubmitted') return null;
  const { userId, model, retry = 'auto' } = first.data;
  const fold: Fold = {
    promptId: first.streamId,
    userId,
    model,
    retry,
    status: 'queued',
    generation: 0,
    attempts: [],
    last: first,
  };
  fold.status = statusesOf(events).at(-1)!;
  for (const event of events) {
    const { data, type } = event;
    fold.last = event;
    const settled = fold.attempts.find(({ attempt }) => attempt === data.attempt);
    if (type === 'AttemptStarted') {
      fold.attempts.push({
        attempt: data.attempt!,
        generation: fold.generation,
        token: data.token!,
        worker: data.worker ?? '',
        startedAt: Date.parse(event.recordedAt),
        committedAt: event.committedAt,
        startedPosition: event.position,
        settledPosition: null,
        endedAt: null,
        lostAt: null,
        end: 'open',
        code: null,
        nanoUsd: null,
        boundNanoUsd: data.boundNanoUsd ?? null,
        knownCosts: 0,
      });
    } else if (settled && (type === 'AttemptFailed' || type === 'AttemptDiscarded' || type === 'PromptCompleted')) {
      const known = settled.end !== 'open' && settled.nanoUsd !== null;
      settled.end = type === 'AttemptFailed' ? data.end! : type === 'PromptCompleted' ? 'answered' : 'discarded';
      settled.code = data.code ?? null;
      settled.settledPosition = event.position;
      if (settled.end === 'lost') settled.lostAt = Date.parse(event.recordedAt);
      settled.endedAt ??= Date.parse(event.recordedAt);
      if (data.nanoUsd !== null && data.nanoUsd !== undefined) settled.knownCosts += 1;
      if (!known) {
        settled.nanoUsd = data.nanoUsd ?? null;
        settled.boundNanoUsd = settled.nanoUsd === null ? (data.boundNanoUsd ?? null) : null;
      }
    }
    if (type === 'PromptRequeued') fold.generation += 1;
  }
  return fold;
}

export function foldsOf(evidence: Evidence): Map<string, Fold> {
  const folds = new Map<string, Fold>();
  for (const [id, events] of streamsOf(evidence)) {
    const fold = foldStream(events);
    if (fold) folds.set(id, fold);
  }
  return folds;
}

export const say =
  (invariant: string) =>
  (promptId: string | null, message: string): Violation => ({ invariant, promptId, message });

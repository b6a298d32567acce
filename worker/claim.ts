/** Claims attempts in Postgres: from here on the provider may be called, and nobody else may call it. */
import type { RecordedEvent } from '../contracts/envelope.ts';
import { isRefusal, startAttempt } from '../contracts/prompt/decide.ts';
import type { EventData } from '../contracts/prompt/events.ts';
import { fold, type PromptState } from '../contracts/prompt/state.ts';
import { createGatherer } from '../platform/gather.ts';
import { newId } from '../platform/ids.ts';
import type { Append, AppendEvents, AppendResult } from '../platform/postgres/append.ts';
import { toAppend } from '../platform/postgres/decision.ts';
import { type EventRow, toEvent } from '../platform/postgres/read.ts';
import { isConnectionLoss, isOutOfResources, isRetryable } from '../platform/postgres/sqlstate.ts';
import { selectOf } from '../platform/telemetry/shapes.ts';
import { inSpan, linkTo } from '../platform/telemetry/spans.ts';
import type { LeaseLedger } from './lease-ledger.ts';
import type { WorkerPorts } from './ports.ts';
import type { Task } from './task-entries.ts';

export type Claim = {
  state: PromptState;
  request: EventData<'PromptSubmitted'>;
  attempt: number;
  token: string;
  traceparent: string | null;
  correlationId: string;
  /** The claim took so long that its lease may be over: the provider must not be called any more. */
  late: boolean;
};

/**
 * `stale`: the row is gone or carries another number, the entry is of no use to anybody and is acknowledged.
 * `pending`: the row stands but cannot be claimed now; the entry is left, and found again.
 */
export type ClaimResult = { status: 'claimed'; claim: Claim } | { status: 'stale' } | { status: 'pending' };

/** What is known of an attempt before its claim is answered. */
export type Unanswered = Pick<Claim, 'state' | 'attempt' | 'token' | 'traceparent' | 'correlationId'>;

export type ClaimOptions = {
  readStreams: WorkerPorts['readStreams'];
  leases: Pick<LeaseLedger, 'dispatches'>;
  append: AppendEvents;
  worker: string;
  leaseSeconds: number;
  callTimeoutSeconds: number;
  sleep: (ms: number) => Promise<void>;
  /** Told to stop: nobody waits for Postgres any longer, the entry is left to others. */
  isStopping: () => boolean;
  /** Keeps for the next process that this attempt was not called, should its claim stand after all. */
  putAside: (claim: Unanswered) => Promise<void>;
};

export function createClaimer(options: ClaimOptions): (task: Task) => Promise<ClaimResult> {
  const { readStreams, leases, worker, leaseSeconds, callTimeoutSeconds } = options;

  // As rows: a prompt with an event that this build does not know must not fail those read together with it.
  const load = createGatherer<string, EventRow[]>(async (ids) => {
    const streams = await readStreams(ids);
    return ids.map((id) => streams.get(id) ?? []);
  }, 200);

  const dispatchOf = createGatherer<string, number | null>(async (ids) => {
    const found = await leases.dispatches(ids);
    return ids.map((id) => found.get(id) ?? null);
  }, 200);

  return async (task) => {
    const token = newId();
    // Twice: a cancel or a redrive may come between reading and appending.
    for (let left = 2; left > 0; left -= 1) {
      const rows = await inSpan(
        () => selectOf({ table: 'event' }),
        () => load(task.promptId),
      );
      const events = rows.map(toEvent);
      const state = fold(events);
      const first = events[0];
      if (!state || first?.type !== 'PromptSubmitted') break;
      const decision = startAttempt(state, { token, worker });
      if (isRefusal(decision)) break;
      const traceparent = task.traceparent ?? first.metadata.traceparent;
      linkTo(first.metadata.traceparent);
      const { correlationId } = first.metadata;
      const metadata = { correlationId, causationId: token, traceparent, actor: `worker:${worker}` };
      const holdSeconds = holdOf(state, callTimeoutSeconds, leaseSeconds);
      const claim = { dispatch: task.dispatch, token, worker, leaseSeconds, holdSeconds };
      const startedAt = performance.now();
      const attempt = state.attempts.length + 1;
      const unanswered = { state, attempt, token, traceparent, correlationId };
      const result = await appendSurely(options, toAppend(state, decision, metadata, { claim }), unanswered);
      const late = performance.now() - startedAt > (leaseSeconds * 1000) / 2;
      if (result.status === 'conflict' && result.reason === 'version') continue;
      if (result.status === 'conflict') break;
      // A duplicate of this token is this very claim, whose reply was lost.
      const [started] = decision.events;
      const claimed = startedState(state, started, result);
      return { status: 'claimed', claim: { ...unanswered, state: claimed, request: first.data, late } };
    }
    return (await dispatchOf(task.promptId)) === task.dispatch ? { status: 'pending' } : { status: 'stale' };
  };
}

/**
 * A claim may be committed though its reply was lost, or told of a disk that failed: a server that panics at its flush
 * (58030, 53100) finds the commit when it recovers. It is asked again, by its token, until Postgres tells: an attempt
 * that was left open would be taken for called, and end a prompt with retry "never".
 */
async function appendSurely(options: ClaimOptions, claim: Append, unanswered: Unanswered): Promise<AppendResult> {
  let isUnsure = false;
  for (let tries = 0; ; tries += 1) {
    try {
      return await options.append(claim);
    } catch (error) {
      // Whatever is said after the first doubt (too much is waiting, say) is no word about that first time.
      isUnsure ||= isConnectionLoss(error) || isRetryable(error) || isOutOfResources(error);
      if (!isUnsure) throw error;
      if (options.isStopping()) {
        await options.putAside(unanswered);
        throw error;
      }
      await options.sleep(Math.min(2_000, 50 * 2 ** Math.min(tries, 10)));
    }
  }
}

/** The state after our own AttemptStarted, without reading it back. */
function startedState(
  state: PromptState,
  started: { type: string; data: unknown } | undefined,
  place: { position: number; version: number; recordedAt: string },
): PromptState {
  const event = { ...started, ...place, streamId: state.promptId } as RecordedEvent;
  return fold([event], state)!;
}

/**
 * How long a lost attempt is not given up, from its claim: `cautious` and `never` wait for the call's own end. A call may
 * begin half a lease after its claim, and takes some seconds to end when it is cut.
 */
const holdOf = ({ retry }: PromptState, callTimeoutSeconds: number, leaseSeconds: number): number | null =>
  retry === 'auto' ? null : callTimeoutSeconds + leaseSeconds;

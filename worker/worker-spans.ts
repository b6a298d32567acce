/** The spans of one task's way through the worker. */

import type { ResultEntry } from '../platform/redis/results.ts';
import { WORKERS_GROUP } from '../platform/redis/tasks.ts';
import { attr, own } from '../platform/telemetry/conventions.ts';
import { acknowledgeOf, linkToActive, processOf, sendOf, stepOf } from '../platform/telemetry/shapes.ts';
import type { SpanShape } from '../platform/telemetry/spans.ts';
import type { HeldAnswer } from './spool/spool.ts';
import type { Task } from './task-entries.ts';

export type StreamNames = { tasks: string; results: string };

export type WorkerSpans = ReturnType<typeof createWorkerSpans>;

export function createWorkerSpans({ worker, streams }: { worker: string; streams: StreamNames }) {
  const entryOf = ({ entryId, promptId }: Task) => ({ [attr.messagingMessageId]: entryId, [own.promptId]: promptId });
  return {
    /** From the entry's arrival until it is acknowledged, or left. */
    process: (task: Task): SpanShape =>
      processOf(streams.tasks, WORKERS_GROUP, linkToActive(), { [attr.messagingClientId]: worker, ...entryOf(task) }),
    claim: (): SpanShape => stepOf('claim'),
    settle: ({ attempt, promptId, result }: HeldAnswer): SpanShape =>
      stepOf('settle', { [own.promptId]: promptId, [own.promptAttempt]: attempt, [own.promptOutcome]: result.end }),
    send: ({ attempt, position, promptId, type }: ResultEntry): SpanShape =>
      sendOf(streams.results, {
        [own.promptId]: promptId,
        [own.promptAttempt]: attempt,
        [own.promptEvent]: type,
        [own.promptPosition]: position,
      }),
    acknowledge: (task: Task): SpanShape => acknowledgeOf(streams.tasks, WORKERS_GROUP, entryOf(task)),
  };
}

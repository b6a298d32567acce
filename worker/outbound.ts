/** What the worker says to Redis: outcomes to `results`, and of tasks that they are done. Many at once go in one call. */
import { createGatherer } from '../platform/gather.ts';
import type { ResultEntry } from '../platform/redis/results.ts';
import { inSpan } from '../platform/telemetry/spans.ts';
import { activeTraceparent } from '../platform/telemetry/traceparent.ts';
import type { WorkerPorts } from './ports.ts';
import type { Task } from './task-entries.ts';
import type { WorkerSpans } from './worker-spans.ts';

export type Outbound = {
  tell: (entry: ResultEntry) => Promise<void>;
  acknowledge: (entryId: string) => Promise<void>;
  /** Of one that was worked on. */
  acknowledgeTask: (task: Task) => Promise<void>;
};

export function createOutbound({ tasks, tell }: Pick<WorkerPorts, 'tasks' | 'tell'>, spans: WorkerSpans): Outbound {
  const acknowledge = createGatherer<string, void>(async (ids) => {
    await tasks.acknowledge(ids);
    return ids.map(() => undefined);
  }, 500);
  const tellTogether = createGatherer<ResultEntry, void>(async (entries) => {
    await tell(entries);
    return entries.map(() => undefined);
  }, 500);
  return {
    tell: (entry) =>
      inSpan(
        () => spans.send(entry),
        () => tellTogether({ ...entry, traceparent: activeTraceparent() ?? entry.traceparent }),
      ),
    acknowledge,
    acknowledgeTask: (task) =>
      inSpan(
        () => spans.acknowledge(task),
        () => acknowledge(task.entryId),
      ),
  };
}

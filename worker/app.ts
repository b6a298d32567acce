/** The worker: read no more than free slots → claim → generate → settle → tell → acknowledge. The order is the guarantee. */
import type { RetryBudget } from '../contracts/prompt/retry.ts';
import { fold } from '../contracts/prompt/state.ts';
import { createGatherer } from '../platform/gather.ts';
import type { ReadPrompt } from '../platform/postgres/decide-and-append.ts';
import { toEvent } from '../platform/postgres/read.ts';
import type { ResultEntry } from '../platform/redis/results.ts';
import { type CallResult, callProvider, notCalled, type PriceOf } from './call.ts';
import { createClaimer } from './claim.ts';
import { createHeartbeat } from './heartbeat.ts';
import { createIntake } from './intake.ts';
import { connectPorts, type PortOptions, type WorkerPorts } from './ports.ts';
import type { Provider } from './providers/provider.ts';
import { createRunning, type RunningAttempt } from './running.ts';
import { createSettler } from './settle.ts';
import type { Task } from './task-entries.ts';

export type WorkerLogger = Record<'info' | 'warn' | 'error', (o: object, m: string) => void>;

export type WorkerOptions = {
  /** Unique among live workers. */
  name: string;
  provider: Provider;
  priceOf: PriceOf;
  /** Prompts in flight. */
  slots: number;
  leaseSeconds: number;
  callTimeoutSeconds: number;
  /** After a stop is asked for, running calls have so long before they are aborted. */
  drainSeconds: number;
  budget: () => RetryBudget;
  now: () => Date;
  sleep: (ms: number) => Promise<void>;
  logger: WorkerLogger;
  onOutcome?: (outcome: { model: string; end: string; seconds: number }) => void;
};

export type Worker = {
  start: () => void;
  /** Takes nothing new, lets running calls end, settles them. */
  stop: () => Promise<void>;
  readonly running: number;
};

/** Over Postgres and Redis. */
export const connectWorker = (options: WorkerOptions & PortOptions): Worker =>
  createWorker(options, connectPorts(options));

export function createWorker(options: WorkerOptions, ports: WorkerPorts): Worker {
  const { logger, name } = options;
  const { append, hints, leases, readStreams, tasks } = ports;
  const running = createRunning(options.slots);
  const read: ReadPrompt = async (promptId) => {
    const events = ((await readStreams([promptId])).get(promptId) ?? []).map(toEvent);
    const state = fold(events);
    return state && { state, events };
  };
  const claim = createClaimer({ ...options, append, readStreams, leases, worker: name });
  const settle = createSettler({ ...options, append, read, worker: name });
  const heartbeat = createHeartbeat({ ...options, leases, tasks, running, worker: name });
  const acknowledge = createGatherer<string, void>(async (ids) => {
    await tasks.acknowledge(ids);
    return ids.map(() => undefined);
  }, 500);
  const tell = createGatherer<ResultEntry, void>(async (entries) => {
    await ports.tell(entries);
    return entries.map(() => undefined);
  }, 500);

  async function handle(task: Task): Promise<void> {
    const claimed = await claim(task);
    if (claimed.status === 'pending') return;
    if (claimed.status === 'claimed') {
      const attempt = {
        promptId: task.promptId,
        token: claimed.claim.token,
        entryId: task.entryId,
        controller: new AbortController(),
      };
      running.add(attempt);
      try {
        await work(claimed.claim, attempt);
      } finally {
        running.remove(attempt);
      }
    }
    await acknowledge(task.entryId);
  }

  async function work(claimed: Parameters<typeof settle>[0], attempt: RunningAttempt): Promise<void> {
    const startedAt = performance.now();
    const called = claimed.late ? notCalled(claimed) : await callProvider(claimed, attempt.controller, options);
    const { end } = called.result;
    options.onOutcome?.({ model: claimed.request.model, end, seconds: (performance.now() - startedAt) / 1000 });
    const entry = await settle(claimed, called.result);
    if (called.park) await park(claimed.request.model, called.park);
    if (!entry) return;
    hints.send('log');
    try {
      await tell(entry);
    } catch (error) {
      // The projector polls: what was settled is found without this.
      logger.warn({ err: error, promptId: entry.promptId }, 'worker: the results stream was not told');
    }
  }

  async function park(model: string, parking: NonNullable<CallResult['park']>): Promise<void> {
    logger.error({ model, ...parking }, 'worker: the provider refuses this model, it is parked');
    try {
      await leases.park(model, parking);
    } catch (error) {
      // The next attempt meets the same refusal and parks it then.
      logger.warn({ err: error, model }, 'worker: the parking was not recorded');
    }
  }

  async function handBack(task: Task): Promise<void> {
    await leases.handBack(task.promptId);
    await acknowledge(task.entryId);
    hints.send('ready');
  }

  const intake = createIntake({
    tasks,
    running,
    handle,
    handBack,
    acknowledge,
    takeOverIdleMs: options.leaseSeconds * 1000,
    onRoom: () => hints.send('ready'),
    sleep: options.sleep,
    logger,
  });
  let unsubscribe: (() => void) | null = null;

  return {
    start: () => {
      unsubscribe ??= hints.on('cancel', heartbeat.now);
      heartbeat.start();
      intake.start();
    },
    stop: async () => {
      await intake.stop();
      const cut = setTimeout(() => {
        for (const attempt of running.all()) attempt.controller.abort('shutdown');
      }, options.drainSeconds * 1000);
      await running.whenIdle();
      clearTimeout(cut);
      unsubscribe?.();
      await heartbeat.stop();
    },
    get running() {
      return running.count;
    },
  };
}

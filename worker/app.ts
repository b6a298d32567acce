/** The worker: read no more than free slots → claim → generate → settle → tell → acknowledge. The order is the guarantee. */
import type { Span } from '@opentelemetry/api';
import { promptErrors } from '../contracts/errors.ts';
import type { AttemptResult, NewEvent } from '../contracts/prompt/decide.ts';
import type { RetryBudget } from '../contracts/prompt/retry.ts';
import { fold, type PromptState } from '../contracts/prompt/state.ts';
import { failPoint } from '../platform/fail-points.ts';
import { createPause } from '../platform/pause.ts';
import type { ReadPrompt } from '../platform/postgres/decide-and-append.ts';
import { toEvent } from '../platform/postgres/read.ts';
import { own } from '../platform/telemetry/conventions.ts';
import { attemptMetrics } from '../platform/telemetry/instruments/attempts.ts';
import { promptMetrics } from '../platform/telemetry/instruments/prompts.ts';
import { workerMetrics } from '../platform/telemetry/instruments/worker.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { tellRecorded } from '../platform/telemetry/recorded.ts';
import { inSpan, inTraceOf } from '../platform/telemetry/spans.ts';
import { activeTraceparent } from '../platform/telemetry/traceparent.ts';
import { type BreakerOptions, createBreaker } from './breaker.ts';
import { callProvider, notCalled, type PriceOf } from './call.ts';
import { type Claim, createClaimer } from './claim.ts';
import { createHeartbeat } from './heartbeat.ts';
import { createIntake } from './intake.ts';
import type { Parking } from './lease-ledger.ts';
import { queueWaitOf, type WorkerObserver } from './observer.ts';
import { createOutbound } from './outbound.ts';
import { connectPorts, type PortOptions, type WorkerPorts } from './ports.ts';
import type { AbortReason, Provider } from './providers/provider.ts';
import { createRunning, type RunningAttempt } from './running.ts';
import { createSettler, toHeld } from './settle.ts';
import type { HeldAnswer, Spool } from './spool/spool.ts';
import type { Task } from './task-entries.ts';
import { createWorkerSpans, type StreamNames } from './worker-spans.ts';

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
  /** Where answers wait while Postgres is away; null: in memory alone. */
  spool: Spool | null;
  /** Absent: as BREAKER says. */
  breaker?: BreakerOptions;
  now: () => Date;
  sleep: (ms: number) => Promise<void>;
  logger: WorkerLogger;
  /** As its spans call them; absent: by their default names. */
  streams?: StreamNames;
  metrics?: Metrics;
};

export type Worker = {
  start: () => void;
  /** Takes nothing new, lets running calls end, settles them. */
  stop: () => Promise<void>;
  readonly running: number;
};

export { connectSpool } from './spool/open.ts';

/** Work is taken up after this, though Postgres has not taken what the spool holds. */
const RECOVERY_FIRST_MS = 5_000;
const DEFAULT_STREAMS: StreamNames = { tasks: 'tasks', results: 'results' };
const OWN_CUTS: ReadonlySet<string> = new Set<AbortReason>(['cancelled', 'shutdown']);

/** Over Postgres and Redis. */
export const connectWorker = (options: WorkerOptions & PortOptions): Worker =>
  createWorker(
    { ...options, streams: { tasks: options.tasksStream, results: options.resultsStream } },
    connectPorts(options),
  );

export function createWorker(options: WorkerOptions, ports: WorkerPorts): Worker {
  const { logger, name } = options;
  const { append, confirm, hints, isArchived, leases, readStreams, tasks } = ports;
  const spans = createWorkerSpans({ worker: name, streams: options.streams ?? DEFAULT_STREAMS });
  const running = createRunning(options.slots);
  const meter = options.metrics?.of(workerMetrics);
  const attempts = options.metrics?.of(attemptMetrics);
  const prompts = options.metrics?.of(promptMetrics);
  const observer: Partial<WorkerObserver> = { ...meter, ...attempts, ...prompts };
  const expected = new Set<string>();
  meter?.watchAttempts(() => ({ running: running.count, slots: running.slots }));
  let stopping = false;
  const pause = createPause(options.sleep);
  const read: ReadPrompt = async (promptId) => {
    const events = ((await readStreams([promptId])).get(promptId) ?? []).map(toEvent);
    const state = fold(events);
    return state && { state, events };
  };
  const isStopping = () => stopping;
  const sleep = pause.for;
  const onRecorded = (events: NewEvent[]) => tellRecorded(observer, events);
  const settler = createSettler({ ...options, append, read, isArchived, confirm, worker: name, sleep, onRecorded });
  const claim = createClaimer({
    ...options,
    append,
    readStreams,
    leases,
    worker: name,
    isStopping,
    sleep,
    putAside: async (unanswered) => void (await settler.putAside(toHeld(unanswered, notCalled(unanswered).result))),
  });
  const breaker = createBreaker(options.breaker);
  const heartbeat = createHeartbeat({ ...options, leases, tasks, running, worker: name });
  const { acknowledge, acknowledgeTask, tell } = createOutbound(ports, spans);

  const handle = (task: Task): Promise<void> =>
    inSpan(
      () => spans.process(task),
      (span) => handleIn(span, { ...task, traceparent: activeTraceparent() ?? task.traceparent }),
    );

  async function handleIn(span: Span, task: Task): Promise<void> {
    await failPoint('worker.entry_read');
    const claimed = await inSpan(spans.claim, () => claim(task));
    span.setAttribute(own.promptOutcome, claimed.status);
    if (claimed.status === 'pending') return;
    if (claimed.status === 'claimed') {
      hints.send('log');
      tellWait(claimed.claim);
      expectCountsOf(claimed.claim.request.model);
      const attempt = {
        promptId: task.promptId,
        token: claimed.claim.token,
        entryId: task.entryId,
        controller: new AbortController(),
      };
      running.add(attempt);
      try {
        await failPoint('worker.claimed');
        if (!(await work(claimed.claim, attempt))) return;
      } finally {
        running.remove(attempt);
      }
      await failPoint('worker.told');
    }
    await acknowledgeTask(task);
    await failPoint('worker.acknowledged');
  }

  /** Before its first call: what comes of it is then counted from 0 on. */
  function expectCountsOf(model: string): void {
    if (expected.has(model)) return;
    expected.add(model);
    attempts?.expectFailures([model], Object.keys(promptErrors));
    attempts?.expectCharges([model]);
    attempts?.expectTokens([model]);
    prompts?.expectEnded([model]);
    meter?.expect([model]);
  }

  function tellWait({ state, traceparent }: Claim): void {
    const seconds = queueWaitOf(state);
    if (seconds !== null) observer.onQueueWait?.({ lane: state.lane, seconds, traceparent });
  }

  /** False: its task must not be acknowledged. */
  async function work(claimed: Claim, attempt: RunningAttempt): Promise<boolean> {
    const startedAt = performance.now();
    const { traceparent } = claimed;
    const { model } = claimed.request;
    const sinceStart = () => (performance.now() - startedAt) / 1000;
    const onFirstToken = () => observer.onFirstToken?.({ model, seconds: sinceStart(), traceparent });
    const call = { ...options, onFirstToken };
    const called = claimed.late ? notCalled(claimed) : await callProvider(claimed, attempt.controller, call);
    const { end } = called.result;
    observer.onOutcome?.({ model, end, seconds: sinceStart(), traceparent });
    await failPoint('worker.called');
    const recorded = await finish(toHeld(claimed, called.result), claimed.state);
    const parking = called.park ?? breakerParking(model, attempt.promptId, called.result);
    if (parking) await park(model, parking);
    return recorded;
  }

  /** False: the answer is in the spool, its task must stay. */
  async function finish(answer: HeldAnswer, state: PromptState | null): Promise<boolean> {
    const settled = await inSpan(
      () => spans.settle(answer),
      () => settler.settle(answer, state),
    );
    if (settled.status === 'spooled') return false;
    await failPoint('worker.settled');
    if (settled.tell) {
      hints.send('log');
      try {
        await tell(settled.tell);
      } catch (error) {
        // The projector polls: what was settled is found without this.
        logger.warn({ err: error, promptId: answer.promptId }, 'worker: the results stream was not told');
      }
    }
    return true;
  }

  /** What an earlier process was paid for and could not record. */
  async function settleHeld(): Promise<void> {
    try {
      const held = (await options.spool?.held()) ?? [];
      if (held.length > 0) logger.info({ count: held.length }, 'worker: answers of an earlier process are settled');
      // Nothing is paid for twice if these come late; whether their claims stand may stay unknown for long.
      const isWord = ({ result }: HeldAnswer): boolean => result.end === 'not_called';
      const settleLate = (answer: HeldAnswer) => inTraceOf(answer.traceparent, () => finish(answer, null));
      beside = Promise.allSettled(held.filter(isWord).map(settleLate));
      await Promise.all(held.filter((one) => !isWord(one)).map(settleLate));
    } catch (error) {
      logger.error({ err: error }, 'worker: the spool could not be read; what it holds waits for the next start');
    }
  }

  function breakerParking(model: string, promptId: string, result: AttemptResult): Parking | null {
    const { end } = result;
    if (end === 'parked' || end === 'not_called') return null;
    // Calls that we cut ourselves tell nothing of the provider.
    if ('code' in result && OWN_CUTS.has(result.code)) return null;
    const failed = end === 'retry' || end === 'unknown';
    const seconds = breaker.record({ model, promptId, failed, atMs: performance.now() });
    return seconds === null ? null : { reason: 'breaker', seconds };
  }

  async function park(model: string, parking: Parking): Promise<void> {
    logger.error({ model, ...parking }, 'worker: the provider does not serve this model now, it is parked');
    try {
      await leases.park(model, parking);
      observer.onParked?.({ model, reason: parking.reason });
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

  async function leave(): Promise<void> {
    try {
      await tasks.leave();
    } catch (error) {
      // The leading relay's sweeper takes away what is silent for long.
      logger.warn({ err: error }, 'worker: it stays on the list of the stream’s consumers');
    }
  }

  const intake = createIntake({
    tasks,
    running,
    handle,
    handBack,
    acknowledge,
    takeOverIdleMs: options.leaseSeconds * 1000,
    onRoom: () => hints.send('ready'),
    sleep,
    logger,
  });
  let unsubscribe: (() => void) | null = null;
  let recovery: Promise<void> | null = null;
  let beside: Promise<unknown> | null = null;

  return {
    start: () => {
      unsubscribe ??= hints.on('cancel', heartbeat.now);
      heartbeat.start();
      recovery ??= settleHeld();
      // What is paid for comes before what is not: claimed first, a prompt whose answer lies here would be called again.
      void Promise.race([recovery, options.sleep(RECOVERY_FIRST_MS)]).then(() => !stopping && intake.start());
    },
    stop: async () => {
      stopping = true;
      settler.stop();
      pause.cut();
      await intake.stop();
      const cut = setTimeout(() => {
        for (const attempt of running.all()) attempt.controller.abort('shutdown');
      }, options.drainSeconds * 1000);
      await running.whenIdle();
      await recovery;
      await beside;
      clearTimeout(cut);
      unsubscribe?.();
      await heartbeat.stop();
      await leave();
    },
    get running() {
      return running.count;
    },
  };
}

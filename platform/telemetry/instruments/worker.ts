import { exemplarOf } from '../exemplar.ts';
import { type Make, sample } from '../instrument.ts';

type Traced = { traceparent: string | null };
const REASONS = ['breaker', 'daily_quota', 'bad_key', 'billing'];

export const workerMetrics = (make: Make) => {
  const running = make.watched('attempts_running', 'Provider calls in flight');
  const slots = make.watched('attempt_slots', 'Prompts that this worker takes at once');
  const wait = make.histogram({
    name: 'queue_wait_seconds',
    help: 'From when a prompt was due to the start of its first attempt, by the database’s clock',
    labelNames: ['lane'],
  });
  const seconds = make.histogram({
    name: 'attempt_duration_seconds',
    help: 'Provider calls by how they ended',
    labelNames: ['model', 'end'],
  });
  const firstToken = make.histogram({
    name: 'attempt_first_token_seconds',
    help: 'From a provider call’s start to the first text of its answer',
    labelNames: ['model'],
  });
  const parkings = make.counter('model_parkings_total', 'Times that a model was parked for all workers', [
    'model',
    'reason',
  ]);
  return {
    /** Counters of these models stand at 0 from now on: `increase` does not see the first value of a series. */
    expect: (models: Iterable<string>): void => {
      for (const model of models) for (const reason of REASONS) parkings.inc({ model, reason }, 0);
    },
    watchAttempts: (read: () => { running: number; slots: number }): void => {
      running(() => sample(read().running));
      slots(() => sample(read().slots));
    },
    onQueueWait: ({ lane, seconds: waited, traceparent }: { lane: string; seconds: number } & Traced): void =>
      wait({ lane }, waited, exemplarOf(traceparent)),
    onFirstToken: ({ model, seconds: took, traceparent }: { model: string; seconds: number } & Traced): void =>
      firstToken({ model }, took, exemplarOf(traceparent)),
    onOutcome: (outcome: { model: string; end: string; seconds: number } & Traced): void =>
      seconds({ model: outcome.model, end: outcome.end }, outcome.seconds, exemplarOf(outcome.traceparent)),
    onParked: ({ model, reason }: { model: string; reason: string }): void => parkings.inc({ model, reason }),
  };
};

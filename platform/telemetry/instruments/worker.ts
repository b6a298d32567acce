import { exemplarOf } from '../exemplar.ts';
import { type Make, sample } from '../instrument.ts';

type Traced = { traceparent: string | null };
type Tokens = { inputTokens: number; cachedInputTokens: number; outputTokens: number; thoughtTokens: number };
export type Charged = {
  model: string;
  /** confirmed: of the prompt's answer. wasted: of any other attempt. */
  account: 'confirmed' | 'wasted';
  usage: Tokens | null;
  /** Null: not known, at most `boundNanoUsd`. */
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  emulated: boolean;
};

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
  const failures = make.counter('attempt_failures_total', 'Attempts on record without an answer, by code', [
    'model',
    'code',
  ]);
  const retries = make.counter('attempt_retries_total', 'Of these, those after which another attempt is due', [
    'model',
    'code',
  ]);
  const parkings = make.counter('model_parkings_total', 'Times that a model was parked for all workers', [
    'model',
    'reason',
  ]);
  const tokens = make.counter(
    'tokens_total',
    'Tokens that the provider told; cached_input ones are among the input ones',
    ['model', 'type', 'emulated'],
  );
  const cost = make.counter(
    'cost_nano_usd_total',
    'Cost of attempts as they were recorded: confirmed, wasted, or unknown and at most so much',
    ['model', 'account', 'emulated'],
  );
  return {
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
    onFailure: ({ model, code, retried }: { model: string; code: string; retried: boolean }): void => {
      failures.inc({ model, code });
      if (retried) retries.inc({ model, code });
    },
    onParked: ({ model, reason }: { model: string; reason: string }): void => parkings.inc({ model, reason }),
    onCharged: ({ model, account, usage, nanoUsd, boundNanoUsd, emulated }: Charged): void => {
      const by = { model, emulated: String(emulated) };
      if (usage) {
        tokens.inc({ ...by, type: 'input' }, usage.inputTokens);
        tokens.inc({ ...by, type: 'cached_input' }, usage.cachedInputTokens);
        tokens.inc({ ...by, type: 'output' }, usage.outputTokens);
        tokens.inc({ ...by, type: 'thought' }, usage.thoughtTokens);
      }
      if (nanoUsd === null) cost.inc({ ...by, account: 'unknown' }, boundNanoUsd ?? 0);
      else cost.inc({ ...by, account }, nanoUsd);
    },
  };
};

import type { Make } from '../instrument.ts';

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

/** What is on record of attempts, told by the process that recorded it. */
export const attemptMetrics = (make: Make) => {
  const failures = make.counter('attempt_failures_total', 'Attempts on record without an answer, by code', [
    'model',
    'code',
  ]);
  const retries = make.counter('attempt_retries_total', 'Of these, those after which another attempt is due', [
    'model',
    'code',
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
    onFailure: ({ model, code, retried }: { model: string; code: string; retried: boolean }): void => {
      failures.inc({ model, code });
      if (retried) retries.inc({ model, code });
    },
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

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

const TOKEN_TYPES = ['input', 'cached_input', 'output', 'thought'];
const ACCOUNTS = ['confirmed', 'wasted', 'unknown'] as const;
const EMULATED = ['false', 'true'];

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
    'Cost of attempts as it was recorded: confirmed, wasted, or unknown and at most so much. For rates: a bound stays counted when the cost becomes known, corrections are not in it; what was spent tells `ledger_day_nano_usd`',
    ['model', 'account', 'emulated'],
  );
  return {
    /** These stand at 0 from now on: `increase` does not see the first value of a series. */
    expectFailures: (models: Iterable<string>, codes: Iterable<string>): void => {
      for (const model of models) for (const code of codes) failures.inc({ model, code }, 0);
    },
    expectCharges: (models: Iterable<string>, accounts: readonly (typeof ACCOUNTS)[number][] = ACCOUNTS): void => {
      for (const model of models)
        for (const emulated of EMULATED) for (const account of accounts) cost.inc({ model, account, emulated }, 0);
    },
    expectTokens: (models: Iterable<string>): void => {
      for (const model of models)
        for (const emulated of EMULATED) for (const type of TOKEN_TYPES) tokens.inc({ model, type, emulated }, 0);
    },
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

import type { RetryBudget } from '../../contracts/prompt/retry.ts';
import type { Config } from './load.ts';

/** The retry budget as configured; every call draws its own randomness. */
export const budgetFrom =
  (config: Config): (() => RetryBudget) =>
  () => ({
    maxAttempts: config.MAX_ATTEMPTS,
    baseSeconds: config.RETRY_BASE_SECONDS,
    capSeconds: config.RETRY_CAP_SECONDS,
    callTimeoutSeconds: config.CALL_TIMEOUT_SECONDS,
    random: Math.random(),
  });

/** A provider in virtual time: what it was asked, what it charges, and every kind of end a call can have. */
import type { Outcome, Provider } from '../../worker/providers/provider.ts';
import type { ProviderCall } from '../faults/evidence.ts';
import type { Random } from '../kit/random.ts';
import type { Clock } from './clock.ts';

export type SimulatedProvider = Provider & { calls: ProviderCall[]; ill: boolean };

const nothing = { known: true, usage: null, rawUsage: null } as const;
const PARKED_SECONDS = 20;

export function createProvider(clock: Clock, random: Random): SimulatedProvider {
  const calls: ProviderCall[] = [];

  function draw(): { outcome: Outcome; nanoUsd: number | null; status: number } {
    const kind = random.next();
    const total = random.between(1, 500);
    const usage = { inputTokens: total, cachedInputTokens: 0, outputTokens: 0, thoughtTokens: 0, totalTokens: total };
    const billing = { known: true, usage, rawUsage: null } as const;
    const base = { message: 'simulated', emulated: false };
    if (provider.ill || kind < 0.12) {
      return {
        outcome: {
          type: 'retry',
          code: 'provider_503',
          billing: nothing,
          ...(kind < 0.04 && { afterSeconds: 2.5 }),
          ...base,
        },
        nanoUsd: null,
        status: 503,
      };
    }
    if (kind < 0.14) {
      const park = { reason: 'daily_quota', seconds: PARKED_SECONDS } as const;
      return {
        outcome: { type: 'retry', code: 'daily_quota', park, billing: nothing, ...base },
        nanoUsd: null,
        status: 429,
      };
    }
    if (kind < 0.18)
      return {
        outcome: { type: 'failed', code: 'blocked', finishReason: null, billing, ...base },
        nanoUsd: total,
        status: 200,
      };
    if (kind < 0.24) {
      return {
        outcome: { type: 'unknown', code: 'connection_lost', billing: { known: false, rawUsage: null }, ...base },
        nanoUsd: total,
        status: 0,
      };
    }
    const { emulated } = base;
    return {
      outcome: {
        type: 'completed',
        answer: `an answer of ${total}`,
        finishReason: 'STOP',
        truncated: false,
        billing,
        modelVersion: null,
        emulated,
      },
      nanoUsd: total,
      status: 200,
    };
  }

  const provider: SimulatedProvider = {
    name: 'simulated',
    calls,
    ill: false,
    generate: ({ attemptId }, { signal }) => {
      const { outcome, nanoUsd, status } = draw();
      // Charged when it was asked, whoever still listens when it answers.
      const fault = outcome.type === 'completed' ? null : outcome.code;
      calls.push({ at: Date.now(), attemptId, billed: nanoUsd !== null, status, fault, nanoUsd });
      // Most are done in seconds, some take minutes, longer than a lease.
      const ms = random.chance(0.85) ? random.between(50, 4_000) : random.between(4_000, 80_000);
      return new Promise((resolve) => {
        const stop = clock.at(ms, () => resolve(outcome));
        signal.addEventListener('abort', () => {
          if (random.chance(0.3)) return; // it answers all the same, or is given up
          stop();
          const code = String(signal.reason);
          resolve({ type: 'unknown', code, message: code, billing: { known: false, rawUsage: null }, emulated: false });
        });
      });
    },
  };
  return provider;
}

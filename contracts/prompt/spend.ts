/** What a prompt cost with all its attempts, and how sure that is: three numbers, never one. */
import type { AttemptState, PromptState } from './state.ts';

export type ByCertainty = {
  /** Of the answer that was used. */
  confirmed: number;
  /** Of attempts whose answer was not used. */
  wasted: number;
  /** The most that attempts can have cost of which nobody knows it. */
  unknownBound: number;
  /** How many those are; of them without any bound. */
  unknown: number;
  unbounded: number;
};
export type Spend = ByCertainty & {
  /** `confirmed` and `wasted` are what the emulator's attempts would have cost: nobody is charged. */
  notional: boolean;
};

/** A real key's, and it answered or cost something. */
const isReal = ({ emulated, end, nanoUsd }: AttemptState): boolean =>
  !emulated && (end === 'answered' || (nanoUsd !== null && nanoUsd > 0));

const isNotional = ({ attempts }: PromptState): boolean =>
  attempts.some(({ emulated }) => emulated) && !attempts.some(isReal);

/**
 * The emulator gave the answer; or nobody has, it was asked, and no real key was paid. How a prompt is counted and shown: its
 * money goes by attempt.
 */
export const isEmulated = (state: PromptState): boolean =>
  state.attempts.find(({ end }) => end === 'answered')?.emulated ?? isNotional(state);

/** Beside what a real key was paid, what an emulated attempt would have cost is no money. */
export function spendOf(state: PromptState): Spend {
  const notional = isNotional(state);
  return { ...byCertainty(notional ? state.attempts : state.attempts.filter(({ emulated }) => !emulated)), notional };
}

/** Of attempts that ended; one that runs has no cost yet. */
export function byCertainty(attempts: readonly AttemptState[]): ByCertainty {
  const spend = { confirmed: 0, wasted: 0, unknownBound: 0, unknown: 0, unbounded: 0 };
  for (const { end, nanoUsd, boundNanoUsd } of attempts) {
    if (end === 'open') continue;
    if (nanoUsd === null) {
      spend.unknown += 1;
      spend.unbounded += boundNanoUsd === null ? 1 : 0;
      spend.unknownBound += boundNanoUsd ?? 0;
    } else if (end === 'answered') spend.confirmed += nanoUsd;
    else spend.wasted += nanoUsd;
  }
  return spend;
}

/** What a prompt cost with all its attempts, and how sure that is: three numbers, never one. */
import type { PromptState } from './state.ts';

export type Spend = {
  /** Of the answer that was used. */
  confirmed: number;
  /** Of attempts whose answer was not used. */
  wasted: number;
  /** The most that attempts can have cost of which nobody knows it. */
  unknownBound: number;
  /** How many those are; of them without any bound. */
  unknown: number;
  unbounded: number;
  /** The emulator answered: nobody is charged. */
  notional: boolean;
};

/** Some attempt was answered by the emulator: its tokens and cost are made up. */
export const isEmulated = (state: PromptState): boolean => state.attempts.some((attempt) => attempt.emulated);

/** Of attempts that ended; one that runs has no cost yet. */
export function spendOf(state: PromptState): Spend {
  const spend = { confirmed: 0, wasted: 0, unknownBound: 0, unknown: 0, unbounded: 0, notional: isEmulated(state) };
  for (const { end, nanoUsd, boundNanoUsd } of state.attempts) {
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

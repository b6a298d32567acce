/**
 * What a call costs at given rates: integers alone, from the decimal strings of a price list to the nano-USD of an event.
 *
 * The rounding rule: tokens times rate are added up exactly for the whole call, then rounded once to a whole nano-USD,
 * half up. A sum over calls is a sum of what each was charged, never rounded again.
 */
import type { Usage } from '../../contracts/usage.ts';

/** Nano-USD for a million tokens: 0.30 USD is 300_000_000n. */
export type Rates = {
  input: bigint;
  /** Of the part of the input that the provider had cached. */
  cachedInput: bigint;
  /** Thoughts are billed as output. */
  output: bigint;
};

/** Rates of calls with more input tokens than `above`; they count for the whole call. */
export type Band = { above: number; rates: Rates };

/** Rates from a moment on (milliseconds, inclusive) until another (exclusive); the first band is above -1, they ascend. */
export type Period = { from: number; to: number; bands: Band[] };

const MILLION = 1_000_000n;

export function costOf(bands: readonly Band[], usage: Usage): bigint {
  const { inputTokens, cachedInputTokens, outputTokens, thoughtTokens } = usage;
  const { input, cachedInput, output } = bandOf(bands, inputTokens).rates;
  const exact =
    BigInt(inputTokens - cachedInputTokens) * input +
    BigInt(cachedInputTokens) * cachedInput +
    (BigInt(outputTokens) + BigInt(thoughtTokens)) * output;
  return roundHalfUp(exact);
}

/** The most a call can cost with at most so many tokens; a higher band need not be a dearer one. */
export function mostOf(bands: readonly Band[], inputTokens: number, outputTokens: number): bigint {
  const costs = bands
    .filter(({ above }) => above < inputTokens)
    .map(({ rates }, i) => {
      const tokens = BigInt(Math.min(inputTokens, bands[i + 1]?.above ?? inputTokens));
      const dearest = rates.cachedInput > rates.input ? rates.cachedInput : rates.input;
      return roundHalfUp(tokens * dearest + BigInt(outputTokens) * rates.output);
    });
  return costs.reduce((most, cost) => (cost > most ? cost : most), 0n);
}

export const periodAt = (periods: readonly Period[], at: Date): Period | undefined =>
  periods.find(({ from, to }) => from <= at.getTime() && at.getTime() < to);

/** `over` counts in its own time; before and after it, `under` does. Both are in order of time. */
export function layPeriods(under: readonly Period[], over: readonly Period[]): Period[] {
  const begin = over[0]?.from ?? Number.POSITIVE_INFINITY;
  const end = over.at(-1)?.to ?? Number.POSITIVE_INFINITY;
  const before = under.map((period) => ({ ...period, to: Math.min(period.to, begin) }));
  const after = under.map((period) => ({ ...period, from: Math.max(period.from, end) }));
  return [...before, ...over, ...after].filter(({ from, to }) => from < to);
}

function bandOf(bands: readonly Band[], inputTokens: number): Band {
  const band = bands.findLast(({ above }) => inputTokens > above);
  if (!band) throw new RangeError(`${inputTokens} is not a number of tokens`);
  return band;
}

const roundHalfUp = (millionths: bigint): bigint => (millionths + MILLION / 2n) / MILLION;

/**
 * What calls cost, in integer nano-USD: the list prices of the pinned package, under those of a price file if there is
 * one. The book's version stands beside every cost; the same tokens under the same version cost the same for ever.
 */
import { usd } from '../../contracts/money.ts';
import type { Usage } from '../../contracts/usage.ts';
import { GEMINI_TEXT_MODEL, readPackagedPrices } from './packaged-prices.ts';
import type { PriceFile } from './price-list.ts';
import { costOf, layPeriods, mostOf, periodAt } from './rates.ts';

export type Price = { nanoUsd: number; priceVersion: string };

export type ListedModel = {
  model: string;
  contextWindow: number | null;
  /** USD for a million tokens, decimal strings, of the lowest tier today. */
  inputPerMillion: string;
  cachedInputPerMillion: string | null;
  outputPerMillion: string;
};

export type PriceBook = {
  /** e.g. `genai-prices@0.1.8`, with a file `genai-prices@0.1.8+prices.json#1f0c9a4e` */
  version: string;
  /** Gemini's text models that have a price then. */
  models: (at: Date) => ListedModel[];
  /** Of all models that have a price at any time, Gemini's or not. */
  names: ReadonlySet<string>;
  /** Null where the book has no price of this model at this time. */
  price: (model: string, usage: Usage, at: Date) => Price | null;
  /** The most one call can cost, now or at any later time the book knows of; null for a model without a price. */
  upperBound: (call: { model: string; inputBytes: number; maxOutputTokens?: number; at: Date }) => number | null;
};

/** What no model of the book exceeds in one answer, thoughts included. */
const MOST_OUTPUT_TOKENS = 65_536;
/** Roles, separators and the like, which the provider counts too. */
const OVERHEAD_TOKENS = 64;

export function createPriceBook(file: PriceFile | null = null): PriceBook {
  const packaged = readPackagedPrices();
  const version = file ? `${packaged.version}+${file.version}` : packaged.version;
  const models = new Map(packaged.models.map((model) => [model.model, model]));
  for (const { model, periods } of file?.models ?? []) {
    const under = models.get(model);
    const contextWindow = under?.contextWindow ?? null;
    models.set(model, { model, contextWindow, periods: layPeriods(under?.periods ?? [], periods) });
  }

  return {
    version,
    models: (at) =>
      [...models.values()]
        .filter(({ model }) => GEMINI_TEXT_MODEL.test(model))
        .flatMap(({ model, contextWindow, periods }) => {
          const rates = periodAt(periods, at)?.bands[0]?.rates;
          if (!rates) return [];
          const { input, cachedInput, output } = rates;
          return {
            model,
            contextWindow,
            inputPerMillion: usd(input),
            cachedInputPerMillion: cachedInput === input ? null : usd(cachedInput),
            outputPerMillion: usd(output),
          };
        }),
    names: new Set(models.keys()),
    price: (model, usage, at) => {
      const period = periodAt(models.get(model)?.periods ?? [], at);
      const nanoUsd = period && toAmount(costOf(period.bands, usage));
      return nanoUsd == null ? null : { nanoUsd, priceVersion: version };
    },
    upperBound: ({ model, inputBytes, maxOutputTokens = MOST_OUTPUT_TOKENS, at }) => {
      // A prompt may wait, be tried again or be sent again when another price holds: all that are not over count.
      const periods = models.get(model)?.periods.filter(({ to }) => to > at.getTime()) ?? [];
      // A token stands for at least one byte.
      const bounds = periods.map(({ bands }) => mostOf(bands, inputBytes + OVERHEAD_TOKENS, maxOutputTokens));
      return bounds.length === 0 ? null : toAmount(bounds.reduce((most, bound) => (bound > most ? bound : most)));
    },
  };
}

/** Null above 2^53 nano-USD (9 million dollars): no call costs that, such a count is a fault and its cost is unknown. */
const toAmount = (nanoUsd: bigint): number | null =>
  nanoUsd <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nanoUsd) : null;

/** Served where nobody names a model: the newest Flash that is neither a preview nor the small one. */
export const DEFAULT_MODEL = 'gemini-3.8-flash';

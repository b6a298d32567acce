/**
 * List prices of Gemini's text models, from @pydantic/genai-prices, as integer nano-USD. The package's version names
 * the price version that stands beside every cost; the same tokens under the same version cost the same for ever.
 */
import { readFileSync } from 'node:fs';
import { type ConditionalPrice, findProvider, type ModelInfo, type ModelPrice } from '@pydantic/genai-prices';
import type { Usage } from '../../contracts/usage.ts';

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
  /** e.g. `genai-prices@0.1.8` */
  version: string;
  models: (at: Date) => ListedModel[];
  /** Null for a model the book does not know. */
  price: (model: string, usage: Usage, at: Date) => Price | null;
  /** The most one call can cost; null for a model the book does not know. */
  upperBound: (call: { model: string; inputBytes: number; maxOutputTokens?: number; at: Date }) => number | null;
};

/** Rates are scaled by 10⁶, so that 0.01875 USD per million tokens (18.75 nano-USD each) is a whole number. */
const SCALE = 1_000_000n;
/** What no model of the book exceeds in one answer, thoughts included. */
const MOST_OUTPUT_TOKENS = 65_536;
/** Roles, separators and the like, which the provider counts too. */
const OVERHEAD_TOKENS = 64;

/** Text in, text out: not embeddings, images, speech, live audio. */
const TEXT_MODEL = /^gemini-\d(?!.*-(image|tts|live|vision|embedding|omni))/;

export function createPriceBook(): PriceBook {
  const version = `genai-prices@${packageVersion()}`;
  const provider = findProvider({ providerId: 'google' });
  if (!provider) throw new Error('the price book has no provider google');
  const models = new Map(provider.models.filter(isPricedText).map((model) => [model.id, model]));

  return {
    version,
    models: (at) =>
      [...models.values()].map((model) => {
        const prices = pricesAt(model, at);
        return {
          model: model.id,
          contextWindow: model.context_window ?? null,
          inputPerMillion: String(baseOf(prices, 'input_mtok')),
          cachedInputPerMillion:
            prices['cache_read_mtok'] === undefined ? null : String(baseOf(prices, 'cache_read_mtok')),
          outputPerMillion: String(baseOf(prices, 'output_mtok')),
        };
      }),
    price: (model, usage, at) => {
      const info = models.get(model);
      if (!info) return null;
      return { nanoUsd: costOf(pricesAt(info, at), usage), priceVersion: version };
    },
    upperBound: ({ model, inputBytes, maxOutputTokens = MOST_OUTPUT_TOKENS, at }) => {
      const info = models.get(model);
      if (!info) return null;
      // A token stands for at least one byte. No tier lowers a price, so the highest count is the dearest.
      const inputTokens = inputBytes + OVERHEAD_TOKENS;
      const usage = {
        inputTokens,
        cachedInputTokens: 0,
        outputTokens: maxOutputTokens,
        thoughtTokens: 0,
        totalTokens: 0,
      };
      return costOf(pricesAt(info, at), usage);
    },
  };
}

/** The package does not export its package.json. */
function packageVersion(): string {
  const file = new URL('../package.json', import.meta.resolve('@pydantic/genai-prices'));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function isPricedText(model: ModelInfo): boolean {
  const prices = pricesAt(model, new Date(0));
  return (
    TEXT_MODEL.test(model.id) &&
    !model.deprecated &&
    prices['input_mtok'] !== undefined &&
    prices['output_mtok'] !== undefined
  );
}

/** The last of the prices whose start date has come. */
function pricesAt(model: ModelInfo, at: Date): ModelPrice {
  if (!Array.isArray(model.prices)) return model.prices;
  const due = (model.prices as ConditionalPrice[]).filter(({ constraint }) => {
    if (!constraint) return true;
    return constraint.type === 'start_date' && Date.parse(constraint.start_date) <= at.getTime();
  });
  const price = due.at(-1) ?? model.prices[0];
  if (!price) throw new Error(`the price book has no price of ${model.id}`);
  return price.prices;
}

function baseOf(prices: ModelPrice, key: string): number {
  const price = prices[key];
  if (price === undefined) throw new Error(`no price ${key}`);
  return typeof price === 'number' ? price : price.base;
}

/** Scaled nano-USD for one token. A tier's price counts for the whole call once its input exceeds the tier's start. */
function rate(prices: ModelPrice, key: string, inputTokens: number): bigint | null {
  const price = prices[key];
  if (price === undefined) return null;
  const tier = typeof price === 'number' ? undefined : price.tiers.filter(({ start }) => inputTokens > start).at(-1);
  const perMillion = typeof price === 'number' ? price : (tier?.price ?? price.base);
  return BigInt(Math.round(perMillion * 1_000_000_000));
}

/** Rounded half up, once for the whole call. Thoughts are billed as output; cached input is part of the input. */
function costOf(prices: ModelPrice, usage: Usage): number {
  const { inputTokens, cachedInputTokens, outputTokens, thoughtTokens } = usage;
  const input = rate(prices, 'input_mtok', inputTokens) ?? 0n;
  const cached = rate(prices, 'cache_read_mtok', inputTokens) ?? input;
  const output = rate(prices, 'output_mtok', inputTokens) ?? 0n;
  const scaled =
    BigInt(inputTokens - cachedInputTokens) * input +
    BigInt(cachedInputTokens) * cached +
    BigInt(outputTokens + thoughtTokens) * output;
  return Number((scaled + SCALE / 2n) / SCALE);
}

/** Served where nobody names a model: the newest Flash that is neither a preview nor the small one. */
export const DEFAULT_MODEL = 'gemini-3.8-flash';

/** List prices of Gemini's text models as @pydantic/genai-prices has them, in the form of `rates.ts`. */
import { readFileSync } from 'node:fs';
import { type ConditionalPrice, findProvider, type ModelInfo, type ModelPrice } from '@pydantic/genai-prices';
import type { Band, Period } from './rates.ts';

/** Text in, text out: not embeddings, images, speech, live audio. */
export const GEMINI_TEXT_MODEL = /^gemini-\d(?!.*-(image|tts|live|vision|embedding|omni))/;

export type PricedModel = { model: string; contextWindow: number | null; periods: Period[] };
export type PackagedPrices = { version: string; models: PricedModel[] };

export function readPackagedPrices(): PackagedPrices {
  const provider = findProvider({ providerId: 'google' });
  if (!provider) throw new Error('the price package has no provider google');
  const models = provider.models.filter(isPricedText).map((info) => ({
    model: info.id,
    contextWindow: info.context_window ?? null,
    periods: periodsOf(info),
  }));
  return { version: `genai-prices@${packageVersion()}`, models };
}

/** The package does not export its package.json. */
function packageVersion(): string {
  const file = new URL('../package.json', import.meta.resolve('@pydantic/genai-prices'));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function isPricedText(info: ModelInfo): boolean {
  const everyPeriod = priceList(info).map(({ prices }) => prices);
  return (
    GEMINI_TEXT_MODEL.test(info.id) &&
    !info.deprecated &&
    everyPeriod.length > 0 &&
    everyPeriod.every((prices) => prices['input_mtok'] !== undefined && prices['output_mtok'] !== undefined)
  );
}

/** Prices that hold at certain hours only are left out: what counts is the list price. */
function priceList(info: ModelInfo): ConditionalPrice[] {
  const list: ConditionalPrice[] = Array.isArray(info.prices) ? info.prices : [{ prices: info.prices as ModelPrice }];
  return list.filter(({ constraint }) => !constraint || constraint.type === 'start_date');
}

function periodsOf(info: ModelInfo): Period[] {
  const list = priceList(info).map(({ constraint, prices }, i) => {
    // The first counts for all time before the second: a price older than the list is as near as one can come.
    const starts = i > 0 && constraint?.type === 'start_date' ? Date.parse(constraint.start_date) : -Infinity;
    return { from: starts, bands: bandsOf(prices) };
  });
  return list.map((period, i) => ({ ...period, to: list[i + 1]?.from ?? Number.POSITIVE_INFINITY }));
}

/** The package keeps tiers with each price; they start at the same counts or not at all. */
function bandsOf(prices: ModelPrice): Band[] {
  const starts = Object.values(prices).flatMap((price) =>
    typeof price === 'object' ? price.tiers.map(({ start }) => start) : [],
  );
  return [-1, ...new Set(starts)]
    .sort((a, b) => a - b)
    .map((above) => {
      const input = rateAt(prices, 'input_mtok', above) ?? 0n;
      const cachedInput = rateAt(prices, 'cache_read_mtok', above) ?? input;
      return { above, rates: { input, cachedInput, output: rateAt(prices, 'output_mtok', above) ?? 0n } };
    });
}

function rateAt(prices: ModelPrice, key: string, above: number): bigint | null {
  const price = prices[key];
  if (price === undefined) return null;
  if (typeof price === 'number') return toNano(price);
  return toNano(price.tiers.findLast(({ start }) => start <= above)?.price ?? price.base);
}

/** USD for a million tokens → nano-USD; the package has at most six digits after the point. */
const toNano = (usd: number): bigint => BigInt(usd.toFixed(9).replace('.', ''));

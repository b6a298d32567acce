/** The JSON of a price file: checked as a whole, every fault with a pointer to its place, and made into rates. */
import { parseUsd } from '../../contracts/money.ts';
import { isDateTime } from '../http/formats.ts';
import type { Band, Period, Rates } from './rates.ts';

export type FilePrices = { model: string; periods: Period[] };
export type PriceFile = {
  /** `<file name>#<first 8 digits of the SHA-256 of its bytes>`, part of the book's version. */
  version: string;
  models: FilePrices[];
};
export type Fault = { pointer: string; message: string };

/** USD for a million tokens. Up to here every count that a provider's usage may hold costs a safe integer of nano-USD. */
const MOST_USD = 1_000n;
const NANO = 1_000_000_000n;

type Fields = Record<string, unknown>;
const PRICES = ['inputPerMillion', 'outputPerMillion'];
const CACHED = 'cachedInputPerMillion';

/** The prices are of use only when there is no fault. */
export function readPriceList(json: unknown): { models: FilePrices[]; faults: Fault[] } {
  const faults: Fault[] = [];
  const models = listOf(fieldsOf(json, '', ['models'], ['description'], faults), 'models', '', faults).map((one, i) =>
    readModel(one, `/models/${i}`, faults),
  );
  const seen = new Map<string, number>();
  for (const [i, { model }] of models.entries()) {
    const first = seen.get(model);
    if (model !== '' && first !== undefined)
      faults.push({ pointer: `/models/${i}/model`, message: `stands at /models/${first} already` });
    else seen.set(model, i);
  }
  return { models, faults };
}

function readModel(json: unknown, at: string, faults: Fault[]): FilePrices {
  const fields = fieldsOf(json, at, ['model', 'prices'], [], faults);
  const { model } = fields;
  const named = typeof model === 'string' && /^[\w.:/@-]{1,200}$/.test(model);
  if (model !== undefined && !named)
    faults.push({ pointer: `${at}/model`, message: 'must be the name of a model, letters, digits and .:/@_-' });
  const periods = listOf(fields, 'prices', at, faults).map((one, i) => readPeriod(one, `${at}/prices/${i}`, i, faults));
  checkOrder(periods, at, faults);
  const closed = periods.map(({ from, to, bands }, i) => ({
    from: from ?? Number.NEGATIVE_INFINITY,
    to: to ?? periods[i + 1]?.from ?? Number.POSITIVE_INFINITY,
    bands,
  }));
  return { model: named ? model : '', periods: closed };
}

/** Undefined: not given. Null: given, and wrong. */
type Stated = { from: number | null | undefined; to: number | null | undefined; bands: Band[] };

function readPeriod(json: unknown, at: string, index: number, faults: Fault[]): Stated {
  const fields = fieldsOf(json, at, PRICES, [CACHED, 'from', 'to', 'tiers'], faults);
  const [from, to] = [timeOf(fields, 'from', at, faults), timeOf(fields, 'to', at, faults)];
  if (from === undefined && index > 0)
    faults.push({ pointer: `${at}/from`, message: 'is required: only the first price may begin at no date' });
  if (from != null && to != null && to <= from) faults.push({ pointer: `${at}/to`, message: 'is not after from' });
  const base = { above: -1, rates: ratesOf(fields, at, faults) };
  const tiers = fields['tiers'] === undefined ? [] : listOf(fields, 'tiers', at, faults);
  const bands = tiers.map((one, i) => {
    const place = `${at}/tiers/${i}`;
    const tier = fieldsOf(one, place, ['above', ...PRICES], [CACHED], faults);
    // Without it nobody could tell the base's price from that of the input.
    if (fields[CACHED] !== undefined && tier[CACHED] === undefined && isFields(one))
      faults.push({ pointer: `${place}/${CACHED}`, message: 'is required: the price below this tier has one' });
    return { above: countOf(tier, 'above', place, faults), rates: ratesOf(tier, place, faults) };
  });
  for (const [i, { above }] of bands.entries()) {
    const former = bands[i - 1]?.above;
    if (above !== null && former != null && above <= former)
      faults.push({
        pointer: `${at}/tiers/${i}/above`,
        message: `is not above the ${former} of the tier before: tiers go up`,
      });
  }
  return { from, to, bands: [base, ...bands.map(({ above, rates }) => ({ above: above ?? 0, rates }))] };
}

function checkOrder(periods: Stated[], at: string, faults: Fault[]): void {
  for (const [i, { from }] of periods.entries()) {
    const former = periods[i - 1];
    if (!former || from == null) continue;
    const fault = (message: string) => faults.push({ pointer: `${at}/prices/${i}/from`, message });
    const before = `the price before`;
    if (former.from != null && from <= former.from)
      fault(`overlaps: ${before} begins at ${timeText(former.from)}; prices go in order of time`);
    else if (former.to != null && from < former.to) fault(`overlaps: ${before} ends at ${timeText(former.to)}`);
    else if (former.to != null && from > former.to) fault(`leaves a gap: ${before} ends at ${timeText(former.to)}`);
  }
}

function ratesOf(fields: Fields, at: string, faults: Fault[]): Rates {
  const input = rateOf(fields, 'inputPerMillion', at, faults);
  return {
    input,
    cachedInput: fields[CACHED] === undefined ? input : rateOf(fields, CACHED, at, faults),
    output: rateOf(fields, 'outputPerMillion', at, faults),
  };
}

function rateOf(fields: Fields, name: string, at: string, faults: Fault[]): bigint {
  const value = fields[name];
  if (value === undefined) return 0n; // its absence is told already
  const rate = typeof value === 'string' ? parseUsd(value) : null;
  if (rate !== null && rate <= MOST_USD * NANO) return rate;
  faults.push({ pointer: `${at}/${name}`, message: priceFault(value, rate) });
  return 0n;
}

function priceFault(value: unknown, rate: bigint | null): string {
  if (rate !== null) return `is more than ${MOST_USD} USD for a million tokens`;
  if (typeof value === 'number') return 'must be a string, "0.30": JSON’s numbers are not exact';
  if (typeof value === 'string' && /^-\d/.test(value)) return 'must not be negative';
  return 'must be USD for a million tokens like "0.30", at most nine digits after the point';
}

function timeOf(fields: Fields, name: string, at: string, faults: Fault[]): number | null | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  const text = typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00:00Z` : value;
  if (typeof text === 'string' && isDateTime(text)) return Date.parse(text);
  faults.push({ pointer: `${at}/${name}`, message: 'must be a date or time like 2027-01-01 or 2027-01-01T00:00:00Z' });
  return null;
}

function countOf(fields: Fields, name: string, at: string, faults: Fault[]): number | null {
  const value = fields[name];
  if (value === undefined) return null;
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  faults.push({ pointer: `${at}/${name}`, message: 'must be a whole number of input tokens, 1 or more' });
  return null;
}

function listOf(fields: Fields, name: string, at: string, faults: Fault[]): unknown[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length > 0) return value;
  if (value !== undefined) faults.push({ pointer: `${at}/${name}`, message: 'must be a list, not an empty one' });
  return [];
}

function fieldsOf(json: unknown, at: string, required: string[], optional: string[], faults: Fault[]): Fields {
  if (!isFields(json)) {
    faults.push({ pointer: at, message: 'must be an object' });
    return {};
  }
  for (const name of required)
    if (!Object.hasOwn(json, name)) faults.push({ pointer: `${at}/${name}`, message: 'is required' });
  for (const name of Object.keys(json))
    if (!required.includes(name) && !optional.includes(name))
      faults.push({ pointer: `${at}/${escapePointer(name)}`, message: 'is not a known field' });
  return json;
}

const isFields = (json: unknown): json is Fields => typeof json === 'object' && json !== null && !Array.isArray(json);
const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');
const timeText = (ms: number): string => new Date(ms).toISOString();

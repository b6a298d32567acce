/** `from` and `to` of a query, as times that Postgres takes. */
const QUARTER_HOUR_MS = 15 * 60_000;
const LATEST = Date.parse('9999-12-31T23:59:59Z');

/** Any RFC 3339 time as UTC with milliseconds; null when there is no such moment (leap seconds, 30 February). */
export function toUtc(text: string): string | null {
  const time = Date.parse(text);
  if (Number.isNaN(time)) return null;
  // Nothing was submitted outside of these, and Postgres knows no year 0 and no year +10000.
  return new Date(Math.min(Math.max(0, time), LATEST)).toISOString();
}

/** Series are kept in quarters of an hour; the one in which `time` lies begins here. */
export const floorToQuarter = (time: string): string =>
  new Date(Math.floor(Date.parse(time) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS).toISOString();

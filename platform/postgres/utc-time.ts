const LATEST = Date.parse('9999-12-31T23:59:59Z');

/** Any RFC 3339 time as UTC with milliseconds, which Postgres takes; null when there is no such moment. */
export function toUtc(text: string): string | null {
  const time = Date.parse(text);
  if (Number.isNaN(time)) return null;
  // Nothing was submitted outside of these, and Postgres knows no year 0 and no year +10000.
  return new Date(Math.min(Math.max(0, time), LATEST)).toISOString();
}

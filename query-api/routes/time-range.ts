const QUARTER_HOUR_MS = 15 * 60_000;

/** Series are kept in quarters of an hour; the one in which `time` lies begins here. */
export const floorToQuarter = (time: string): string =>
  new Date(Math.floor(Date.parse(time) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS).toISOString();

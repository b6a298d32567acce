/** Daily quotas start anew at midnight in California. */
const ZONE = 'America/Los_Angeles';
const HOUR_MS = 3_600_000;

const clock = new Intl.DateTimeFormat('en-US', {
  timeZone: ZONE,
  hourCycle: 'h23',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const dayOf = (at: number): string => clock.format(at).slice(0, 10);

/** Seconds from `now` to the next midnight Pacific, through changes of daylight saving time. */
export function secondsToPacificMidnight(now: Date): number {
  const today = dayOf(now.getTime());
  // The first instant of another day: hours forward to bracket it, then halve. No zone arithmetic to get wrong.
  let before = now.getTime();
  let after = before;
  while (dayOf(after) === today) after += HOUR_MS;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dayOf(middle) === today) before = middle;
    else after = middle;
  }
  return Math.ceil((after - now.getTime()) / 1000);
}

/** What an ask must satisfy beyond its schema. Returns every fault at once, as pointers into the body. */
import type { AskBody } from '../contracts/http/commands.ts';

export type Fault = { pointer: string; message: string };

export const EXPIRED: Fault = { pointer: '/expiresAt', message: 'must be in the future' };

/** Postgres knows no year 0 and ends long after these; a time outside of them is a slip of the keyboard. */
const EARLIEST = Date.parse('1970-01-01T00:00:00Z');
const LATEST = Date.parse('2200-01-01T00:00:00Z');

/** `now` null: whether it has expired is not judged here. */
export function askFaults(body: AskBody, now: Date | null): Fault[] {
  const faults: Fault[] = [];
  const notBefore = timeOf('/notBefore', body.notBefore, faults);
  const expiresAt = timeOf('/expiresAt', body.expiresAt, faults);
  if (now !== null && expiresAt !== null && expiresAt <= now.getTime()) {
    faults.push(EXPIRED);
  }
  if (notBefore !== null && expiresAt !== null && expiresAt <= notBefore) {
    faults.push({ pointer: '/expiresAt', message: 'must be after notBefore' });
  }
  return faults;
}

function timeOf(pointer: string, text: string | undefined, faults: Fault[]): number | null {
  if (text === undefined) return null;
  const time = Date.parse(text);
  if (Number.isNaN(time) || time < EARLIEST || time > LATEST) {
    // The schema lets a leap second pass, which no clock of ours has.
    faults.push({ pointer, message: 'must be a point in time from 1970 to 2199' });
    return null;
  }
  return time;
}

/** 1..255 visible ASCII characters; the draft standard's quotes are taken off. Null when it is neither. */
export function parseIdempotencyKey(header: string): string | null {
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  return /^[\x21-\x7e]{1,255}$/.test(key) ? key : null;
}

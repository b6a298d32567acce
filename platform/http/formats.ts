/** Stricter than the formats that come with ajv: those let a URN pass for a UUID, and a blank for the T of a time. */

/** As Postgres writes it, in either case. */
export const isUuidText = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);

const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|[+-](\d\d):(\d\d))$/i;

/** RFC 3339, of a moment that exists; no clock of ours has leap seconds. */
export function isDateTime(text: string): boolean {
  const parts = DATE_TIME.exec(text)?.slice(1).map(Number);
  if (!parts) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offsetHour, offsetMinute] = parts;
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
  const inOffset = Number.isNaN(offsetHour ?? Number.NaN) || (offsetHour! <= 23 && offsetMinute! <= 59);
  return day >= 1 && day <= days && hour <= 23 && minute <= 59 && second <= 59 && inOffset;
}

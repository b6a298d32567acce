/** The opaque `cursor` of a list: the last row of the page before. */
import { isUuid } from '../../platform/ids.ts';
import type { PageKey } from '../read-models/page-bounds.ts';

export const encodeCursor = (key: PageKey): string => Buffer.from(`${key.submittedAt} ${key.id}`).toString('base64url');

/** Null for anything that `encodeCursor` does not make. */
export function decodeCursor(cursor: string): PageKey | null {
  const [submittedAt = '', id = '', ...rest] = Buffer.from(cursor, 'base64url').toString().split(' ');
  const key = { submittedAt, id };
  const valid = rest.length === 0 && isUuid(id) && isOwnTime(submittedAt) && encodeCursor(key) === cursor;
  return valid ? key : null;
}

/** Exactly the form in which times leave the API, of years with four digits. */
function isOwnTime(text: string): boolean {
  const time = new Date(text);
  return text.length === 24 && !Number.isNaN(time.getTime()) && time.getTime() >= 0 && time.toISOString() === text;
}

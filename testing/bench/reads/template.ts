/** A row as COPY prints it, and what it is in each copy: other ids, other users, other positions, later times. */
import type { Order } from './order.ts';

export type Copying = {
  /** Users and prompts of one copy. */
  users: number;
  prompts: number;
  order: Order;
};

/** A row of copy `k`, from 0; that of the first is the row itself. */
export type Line = (k: number) => string;

const POSITIONS = new Set(['position', 'submitted_position', 'reserved_position', 'settled_position']);
const ID = '(?<head>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{6})(?<tail>[0-9a-f]{6})';
const NAMES = String.raw`\buser-(?<user>\d+)|\bcase(?<number>\d+)\b`;
// In lines of an archive, which have a space before the colon, and microseconds.
const PLACES = String.raw`(?<key>"position" : )(?<position>\d+)`;
const TIMES = String.raw`(?<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,3})?)(?<micros>000)?(?:Z|\+00)`;
const still = new RegExp([ID, NAMES, PLACES].join('|'), 'g');
const moving = new RegExp([ID, NAMES, PLACES, TIMES].join('|'), 'g');

// Tens of millions of rows are written: of what stands in each, nothing is put together digit by digit.
const HEX = Array.from({ length: 4096 }, (_, n) => n.toString(16).padStart(3, '0'));
const MINUTE_MS = 60_000;
const SECONDS = Array.from({ length: MINUTE_MS }, (_, ms) => (ms / 1000).toFixed(3).padStart(6, '0'));
let lastMinute = Number.NaN;
let upToMinute = '';

/** RFC 3339, without its Z. Those asked for one after another mostly lie in one minute. */
function timeText(ms: number): string {
  const minute = Math.floor(ms / MINUTE_MS);
  if (minute !== lastMinute) {
    lastMinute = minute;
    upToMinute = new Date(minute * MINUTE_MS).toISOString().slice(0, -'00.000Z'.length);
  }
  return upToMinute + SECONDS[ms - minute * MINUTE_MS]!;
}

export const timeOf = (ms: number): string => `${timeText(ms)}Z`;

const ends = (tail: string): Line => {
  const end = Number.parseInt(tail, 16);
  return (k) => {
    const at = (end + k) & 0xffffff;
    return HEX[at >> 12]! + HEX[at & 0xfff]!;
  };
};

/** An id of a row, in each copy. */
export function idsOf(id: string): Line {
  const head = id.slice(0, -6);
  const end = ends(id.slice(-6));
  return (k) => head + end(k);
}

/**
 * `columns`: of the row, in order. `moves`: its times are those of single prompts, and not the beginnings of buckets.
 * An id gets another end: ids of a log differ before it.
 */
export function templateOf(row: string, columns: readonly string[], moves: boolean, copying: Copying): Line {
  const { users, prompts, order } = copying;
  const literals = [''];
  const places: Line[] = [];
  const literal = (text: string) => {
    literals[literals.length - 1] += text;
  };
  const place = (line: Line) => {
    places.push(line);
    literals.push('');
  };
  const position = (text: string): Line => {
    const base = (Number(text) - 1) * order.copies;
    return (k) => String(order.positions[base + k]!);
  };
  const put = ({ head, tail, user, number, key, position: at, time, micros }: Record<string, string | undefined>) => {
    if (head !== undefined && tail !== undefined) {
      literal(head);
      place(ends(tail));
    } else if (user !== undefined) {
      literal('user-');
      place((k) => String(Number(user) + k * users));
    } else if (number !== undefined) {
      literal('case');
      place((k) => String(Number(number) + k * prompts));
    } else if (key !== undefined && at !== undefined) {
      literal(key);
      place(position(at));
    } else if (time !== undefined) {
      const ms = Date.parse(`${time.replace(' ', 'T')}Z`);
      place((k) => timeText(ms + order.shifts[k]!));
      literal(`${micros ?? ''}Z`);
    }
  };
  for (const [i, field] of row.split('\t').entries()) {
    if (i > 0) literal('\t');
    if (POSITIONS.has(columns[i]!) && field !== '\\N') {
      place(position(field));
      continue;
    }
    let done = 0;
    for (const match of field.matchAll(moves ? moving : still)) {
      literal(field.slice(done, match.index));
      put(match.groups!);
      done = match.index + match[0].length;
    }
    literal(field.slice(done));
  }
  const [head = '', ...tails] = literals;
  return (k) => {
    let text = head;
    for (let i = 0; i < places.length; i += 1) text += places[i]!(k) + tails[i]!;
    return text;
  };
}

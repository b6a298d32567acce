/** How rows are written: in which order, and by whom. */
import type pg from 'pg';
import { copyLines } from '../../../platform/postgres/copy.ts';
import type { Floor } from './floor.ts';
import type { Order } from './order.ts';
import type { Rows } from './source.ts';
import type { Copied } from './tables.ts';

export const TELL_EVERY_MS = 10_000;

/** Rows of events, where these stand; of `rows`, those that it says. */
export function* inOrder(
  { sequence, copies }: Order,
  lines: Rows['lines'],
  { rows }: Pick<Copied, 'rows'>,
  { hasLeft }: Floor,
): Generator<string> {
  const isWritten = (e: number, k: number) => rows === undefined || hasLeft(e, k) === (rows === 'archived');
  for (const at of sequence) {
    const event = Math.floor(at / copies);
    const k = at - event * copies;
    const line = lines.get(event);
    if (line && isWritten(event, k)) yield line(k);
  }
}

export function* oneAfterAnother(copies: number, lines: Rows['lines']): Generator<string> {
  for (const line of lines.values()) for (let k = 0; k < copies; k += 1) yield line(k);
}

/** Emptied and written in one transaction: with `wal_level = minimal` nothing of it is logged, and rows are written frozen. */
export async function replaceRows(
  writer: pg.Client,
  table: string,
  columns: string[],
  lines: Iterable<string>,
  tell: (what: string) => void,
): Promise<void> {
  const startedAt = performance.now();
  const toldRows = every(TELL_EVERY_MS, tell);
  let written = 0;
  const told = () => `${table}: ${written} rows, ${((performance.now() - startedAt) / 1000).toFixed(0)} s`;
  await writer.query('BEGIN');
  await writer.query(`TRUNCATE ${table}`);
  function* counted(): Generator<string> {
    for (const line of lines) {
      written += 1;
      yield line;
      if (written % 10_000 === 0) toldRows(told);
    }
  }
  await copyLines(writer, `COPY ${table} (${columns.join(', ')}) FROM STDIN (FREEZE)`, counted());
  await writer.query('COMMIT');
  tell(told());
}

/** Tells what is given to it, unless it has lately. */
export function every(ms: number, tell: (what: string) => void): (what: () => string) => void {
  let toldAt = performance.now();
  return (what) => {
    if (performance.now() - toldAt < ms) return;
    toldAt = performance.now();
    tell(what());
  };
}

/** Each thing is done by the writer that is free; the first error ends it. */
export async function inTurn<T>(
  writers: pg.Client[],
  things: readonly T[],
  work: (thing: T, writer: pg.Client) => Promise<void>,
): Promise<void> {
  const left = [...things];
  await allOf(
    writers.map(async (writer) => {
      for (let thing = left.shift(); thing !== undefined; thing = left.shift()) {
        try {
          await work(thing, writer);
        } catch (error) {
          left.length = 0;
          throw error;
        }
      }
    }),
  );
}

/** Waits for the end of all, also when one fails. */
export async function allOf(works: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === 'rejected');
  if (failed) throw (failed as PromiseRejectedResult).reason;
}

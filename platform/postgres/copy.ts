/** Many new rows at once, by COPY: the server parses each value once, and nothing around it. */
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

const PIECE_CHARACTERS = 1_000_000;

/**
 * Inside the caller's transaction. `table` and the names of the first row's fields are written into the statement: never
 * text from outside. All rows have the same fields in the same order; numbers in arrays stay such, other objects become JSON.
 */
export async function copyRows(client: pg.ClientBase, table: string, rows: readonly object[]): Promise<void> {
  const [first] = rows;
  if (!first) return;
  function* lines(): Generator<string> {
    for (const row of rows) yield Object.values(row).map(toCopyText).join('\t');
  }
  await copyLines(client, `COPY ${table} (${Object.keys(first).join(', ')}) FROM STDIN`, lines());
}

/** `statement`: a COPY … FROM STDIN, in the caller's transaction; `lines`: rows in its text format, without their line ends. */
export async function copyLines(client: pg.ClientBase, statement: string, lines: Iterable<string>): Promise<void> {
  const stream = client.query(copyFrom(statement));
  const done = finished(stream);
  done.catch(() => {}); // thrown below, where it is awaited
  let piece = '';
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), done]);
    piece = '';
  }
  stream.end(piece);
  await done;
}

const SPECIAL = /[\\\t\n\r]/;
const ESCAPES: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function toCopyText(value: unknown): string {
  if (value === null || value === undefined) return '\\N';
  if (Array.isArray(value)) return `{${value.join(',')}}`;
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return SPECIAL.test(text) ? text.replace(/[\\\t\n\r]/g, (character) => ESCAPES[character]!) : text;
}

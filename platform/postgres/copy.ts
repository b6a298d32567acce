/** Many new rows at once, by COPY: the server parses each value once, and nothing around it. */
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

const PIECE_CHARACTERS = 1_000_000;

/**
 * Inside the caller's transaction. `table` and the names of the first row's fields are written into the statement: never
 * text from outside. All rows have the same fields in the same order; objects become JSON.
 */
export async function copyRows(client: pg.ClientBase, table: string, rows: readonly object[]): Promise<void> {
  const [first] = rows;
  if (!first) return;
  const stream = client.query(copyFrom(`COPY ${table} (${Object.keys(first).join(', ')}) FROM STDIN`));
  const done = finished(stream);
  done.catch(() => {}); // thrown below, where it is awaited
  let text = '';
  for (const row of rows) {
    text += `${Object.values(row).map(toCopyText).join('\t')}\n`;
    if (text.length < PIECE_CHARACTERS) continue;
    if (!stream.write(text)) await Promise.race([once(stream, 'drain'), done]);
    text = '';
  }
  stream.end(text);
  await done;
}

const SPECIAL = /[\\\t\n\r]/;
const ESCAPES: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function toCopyText(value: unknown): string {
  if (value === null || value === undefined) return '\\N';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return SPECIAL.test(text) ? text.replace(/[\\\t\n\r]/g, (character) => ESCAPES[character]!) : text;
}

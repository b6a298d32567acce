/** The whole log stream by stream, so that its reader needs to remember one prompt at a time. */
import type pg from 'pg';
import { type EventRow, LogGapError } from './read.ts';
import { readSql } from './sql-file.ts';

const READ_BY_STREAM = readSql(import.meta.url, 'sql/read-by-stream.sql');
const NO_STREAM = '00000000-0000-0000-0000-000000000000';

/**
 * Pages of events up to a position. Of use within a transaction that sees one state of the log: a stream that is written
 * meanwhile may be passed already. Throws `LogGapError` where an event of a stream is missing.
 */
export async function* readByStream(
  client: Pick<pg.ClientBase, 'query'>,
  upTo: number,
  pageSize = 500,
): AsyncGenerator<EventRow[]> {
  let [streamId, version] = [NO_STREAM, 0];
  for (;;) {
    const values = [streamId, version, upTo, pageSize];
    const { rows } = await client.query<EventRow>({ name: 'read-by-stream', text: READ_BY_STREAM, values });
    for (const row of rows) {
      const expected = row.stream_id === streamId ? version + 1 : 1;
      if (row.version !== expected)
        throw new LogGapError(`version ${expected} of stream ${row.stream_id} is missing from the log`);
      [streamId, version] = [row.stream_id, row.version];
    }
    if (rows.length > 0) yield rows;
    if (rows.length < pageSize) return;
  }
}

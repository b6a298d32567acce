/** What is multiplied: read, and each row made a template of its copies. */
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { type Archivable, asIfArchived, closedStreams, raiseFloor, readArchivable } from './archive.ts';
import { type Floor, floorOf } from './floor.ts';
import { SPREAD_MS } from './order.ts';
import { type Copied, OF_ARCHIVED } from './tables.ts';
import { type Copying, type Line, templateOf } from './template.ts';

const QUARTER_MS = 900_000;

/** The one version, which is where the log ends, as the ledger is. */
export async function versionToCopy(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ version: number; whole: boolean }>(
    `SELECT p.version, p.position = h.position AND l.position = h.position AND h.floor = 0
            AND (SELECT count(*) FROM projection_version) = 1
            AND NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS (SELECT FROM parked_stream) AS whole
       FROM live_projection p, log_head h, ledger_head l`,
  );
  if (!rows[0]?.whole) throw new Error('what is copied is to be at its end, with nothing open, and of one version');
  return rows[0].version;
}

/** By event: milliseconds, and its prompt. Of each user, the first event (from 0). */
export type Log = { times: number[]; streamIds: string[]; firstOf: Map<string, number> };

export async function readLog(owner: pg.Client): Promise<Log> {
  const { rows } = await owner.query<{ ms: string; type: string; stream_id: string; user_id: string }>(
    `SELECT (extract(epoch FROM recorded_at) * 1000)::bigint::text AS ms, type, stream_id, data ->> 'userId' AS user_id
       FROM event ORDER BY position`,
  );
  const firstOf = new Map<string, number>();
  for (const [e, { user_id }] of rows.entries()) if (!firstOf.has(user_id)) firstOf.set(user_id, e);
  const quarter = (ms: number) => Math.floor(ms / QUARTER_MS);
  const times = rows.map(({ ms, type }) => {
    const time = Number(ms);
    if (type === 'PromptSubmitted' && quarter(time) !== quarter(time + SPREAD_MS))
      throw new Error(`a copy of a prompt of ${new Date(time).toISOString()} could be in another quarter of an hour`);
    return time;
  });
  return { times, streamIds: rows.map((row) => row.stream_id), firstOf };
}

/** `lines`: by event, from 0, or as they were read. */
export type Rows = { columns: string[]; lines: Map<number, Line> };

export async function readRows(
  owner: pg.Client,
  { table, select, byEvent, moves }: Copied,
  copying: Copying,
): Promise<Rows> {
  const { rows } = await owner.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
        AND attgenerated = '' ORDER BY attnum`,
    [table],
  );
  const columns = rows.map(({ name }) => name);
  const stream = owner.query(copyTo(`COPY (${select(columns.map((name) => `t.${name}`).join(', '))}) TO STDOUT`));
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString();
  const lines = new Map<number, Line>();
  for (const row of text === '' ? [] : text.slice(0, -1).split('\n')) {
    const tab = byEvent ? row.indexOf('\t') : -1;
    const at = byEvent ? Number(row.slice(0, tab)) - 1 : lines.size;
    if (lines.has(at)) throw new Error(`two rows of ${table} are of event ${at + 1}`);
    lines.set(at, templateOf(row.slice(tab + 1), columns, moves, copying));
  }
  return { columns, lines };
}

export type Archived = { floor: Floor; rows: Rows; events: Archivable[] };

/** Out of the log that is copied, while it is whole: what is put into the archive of all copies, and what is noted of it. */
export async function readArchived(
  owner: pg.Client,
  uri: string,
  before: string,
  { times, streamIds }: Log,
  copying: Copying,
): Promise<Archived> {
  const closed = await closedStreams(uri);
  const mayLeave = new Set(closed.map(({ s }) => s));
  const lastOfStream = new Map(streamIds.map((id, e) => [id, e]));
  const lastOf = Int32Array.from(streamIds, (id) => (mayLeave.has(id) ? lastOfStream.get(id)! : -1));
  const floor = floorOf({ order: copying.order, times, lastOf, before: Date.parse(before) });
  if (floor.position === 0) throw new Error(`no event was recorded before ${before}`);
  const rows = await asIfArchived(owner, closed, () => readRows(owner, OF_ARCHIVED, copying));
  const events = await readArchivable(uri, copying);
  await raiseFloor(owner);
  return { floor, rows, events };
}

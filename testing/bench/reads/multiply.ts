/**
 * One log with its read models and its ledger, times as many: each copy has its own prompts and users, and is somewhat later
 * than the one before. Nothing is folded; that it is what a fold gives is held by multiply.check.ts.
 */
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { copyLines } from '../../../platform/postgres/copy.ts';
import { dropIndexes } from '../indexes.ts';
import {
  type ArchiveTo,
  asIfArchived,
  closedStreams,
  raiseFloor,
  readArchivable,
  setFloor,
  writeArchive,
} from './archive.ts';
import { type Floor, floorOf, NO_FLOOR } from './floor.ts';
import { type Order, orderCopies, SPREAD_MS } from './order.ts';
import { type Copied, copiedTables, OF_ARCHIVED, overAll, type TableGroup, tableGroups } from './tables.ts';
import { type Copying, type Line, templateOf } from './template.ts';

export type MultiplyOptions = {
  /** Of a database with one log, folded and posted up to its end; the login owns its tables. */
  uri: string;
  copies: number;
  /** Users and prompts that are there now. */
  users: number;
  prompts: number;
  /** Null: nothing is. */
  archive: ArchiveTo | null;
  tell: (what: string) => void;
};

const QUARTER_MS = 900_000;
/** Connections that write or make indexes. */
const WRITERS = 2;
const TELL_EVERY_MS = 10_000;

/** Out: events. Rows of the largest tables are frozen and seen by all; statistics are the caller's. */
export async function multiply(options: MultiplyOptions): Promise<number> {
  const { uri, copies, users, prompts, archive, tell } = options;
  const writers = Array.from({ length: WRITERS }, () => {
    // The log refuses TRUNCATE by a trigger.
    return new pg.Client({ connectionString: uri, options: '-c timezone=UTC -c session_replication_role=replica' });
  });
  // A server that is stopped ends idle connections too; what waits for an answer rejects by itself.
  for (const writer of writers) writer.on('error', () => {});
  const [owner] = writers as [pg.Client];
  try {
    await Promise.all(writers.map((writer) => writer.connect()));
    const version = await versionToCopy(owner);
    const log = await readLog(owner);
    const order = orderCopies(log.times, copies);
    const events = order.sequence.length;
    const copying: Copying = { users, prompts, order };
    tell(`${events} events in order`);
    const rows = new Map<string, Rows>();
    for (const table of copiedTables(version)) rows.set(table.table, await readRows(owner, table, copying));
    const archived = archive && (await readArchived(owner, { ...options, archive }, log, copying));
    if (archived) rows.set(OF_ARCHIVED.table, archived.rows);
    const floor = archived?.floor ?? NO_FLOOR;

    const write = async ({ tables, indexed }: TableGroup, writer: pg.Client) => {
      const indexes = await dropIndexes(writer, indexed);
      for (const table of tables) {
        const { columns, lines } = rows.get(table.table)!;
        rows.delete(table.table);
        const written = table.byEvent ? inOrder(order, lines, kept(table, floor)) : oneAfterAnother(copies, lines);
        await replaceRows(writer, table.table, columns, written, tell);
      }
      for (const [i, definition] of indexes.entries()) {
        await writer.query(definition);
        tell(`${indexed}: index ${i + 1} of ${indexes.length}`);
      }
    };
    const groups = tableGroups(version, archived !== null);
    const failed = new AbortController();
    const writing = [inTurn(writers, groups, write)];
    if (archive && archived) {
      const toldSegments = every(TELL_EVERY_MS, tell);
      const onSegment = ({ to }: { to: number }) => {
        failed.signal.throwIfAborted();
        toldSegments(() => `archive: ${to} of ${floor.position} events`);
      };
      writing.push(
        writeArchive(archive.dir, archived.events, order, floor, onSegment).then(() =>
          tell(`archive: ${floor.position} events`),
        ),
      );
    }
    for (const one of writing) one.catch((error) => failed.abort(error));
    await allOf(writing);

    await owner.query('BEGIN');
    for (const statement of overAll(version, copies, events)) await owner.query(statement);
    // Of all copies of it, the first one's stands first.
    const firstUse = `real_use_v${version}`;
    const { rows: uses } = await owner.query<{ position: number }>(`SELECT position FROM ${firstUse}`);
    for (const { position } of uses)
      await owner.query(`UPDATE ${firstUse} SET position = $1`, [order.positions[(position - 1) * copies]]);
    if (archived) await setFloor(owner, archived.events, order, floor);
    await owner.query('COMMIT');
    tell('sums over all users');
    return events;
  } finally {
    await Promise.all(writers.map((writer) => writer.end()));
  }
}

type Archived = { floor: Floor; rows: Rows; events: Awaited<ReturnType<typeof readArchivable>> };

/** Out of the log that is copied, while it is whole: what is put into the archive of all copies, and what is noted of it. */
async function readArchived(
  owner: pg.Client,
  { uri, archive: { before } }: MultiplyOptions & { archive: ArchiveTo },
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

const kept = ({ rows = 'all' }: Copied, { hasLeft }: Floor): ((e: number, k: number) => boolean) =>
  rows === 'all' ? () => true : (e, k) => hasLeft(e, k) === (rows === 'archived');

/** The one version, which is where the log ends, as the ledger is. */
async function versionToCopy(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ version: number; whole: boolean }>(
    `SELECT p.version, p.position = h.position AND l.position = h.position AND h.floor = 0
            AND (SELECT count(*) FROM projection_version) = 1
            AND NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS (SELECT FROM parked_stream) AS whole
       FROM live_projection p, log_head h, ledger_head l`,
  );
  if (!rows[0]?.whole) throw new Error('what is copied is to be at its end, with nothing open, and of one version');
  return rows[0].version;
}

/** By event: milliseconds, and its prompt. */
type Log = { times: number[]; streamIds: string[] };

async function readLog(owner: pg.Client): Promise<Log> {
  const { rows } = await owner.query<{ ms: string; type: string; stream_id: string }>(
    'SELECT (extract(epoch FROM recorded_at) * 1000)::bigint::text AS ms, type, stream_id FROM event ORDER BY position',
  );
  const quarter = (ms: number) => Math.floor(ms / QUARTER_MS);
  const times = rows.map(({ ms, type }) => {
    const time = Number(ms);
    if (type === 'PromptSubmitted' && quarter(time) !== quarter(time + SPREAD_MS))
      throw new Error(`a copy of a prompt of ${new Date(time).toISOString()} could be in another quarter of an hour`);
    return time;
  });
  return { times, streamIds: rows.map((row) => row.stream_id) };
}

/** `lines`: by event, from 0, or as they were read. */
type Rows = { columns: string[]; lines: Map<number, Line> };

async function readRows(owner: pg.Client, { table, select, byEvent, moves }: Copied, copying: Copying): Promise<Rows> {
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

function* inOrder(
  { sequence, copies }: Order,
  lines: Rows['lines'],
  isWritten: (e: number, k: number) => boolean,
): Generator<string> {
  for (const at of sequence) {
    const event = Math.floor(at / copies);
    const k = at - event * copies;
    const line = lines.get(event);
    if (line && isWritten(event, k)) yield line(k);
  }
}

function* oneAfterAnother(copies: number, lines: Rows['lines']): Generator<string> {
  for (const line of lines.values()) for (let k = 0; k < copies; k += 1) yield line(k);
}

/** Emptied and written in one transaction: with `wal_level = minimal` nothing of it is logged, and rows are written frozen. */
async function replaceRows(
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
function every(ms: number, tell: (what: string) => void): (what: () => string) => void {
  let toldAt = performance.now();
  return (what) => {
    if (performance.now() - toldAt < ms) return;
    toldAt = performance.now();
    tell(what());
  };
}

/** Each thing is done by the writer that is free; the first error ends it. */
async function inTurn<T>(
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
async function allOf(works: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === 'rejected');
  if (failed) throw (failed as PromiseRejectedResult).reason;
}

/**
 * One log with its read models and its ledger, times as many: each copy has its own prompts and users, and is somewhat later
 * than the one before. Nothing is folded; that it is what a fold gives is held by multiply.check.ts.
 */
import pg from 'pg';
import { dropIndexes } from '../indexes.ts';
import { type ArchiveTo, setFloor, writeArchive } from './archive.ts';
import { NO_FLOOR } from './floor.ts';
import { orderCopies } from './order.ts';
import { type Log, type Rows, readArchived, readLog, readRows, versionToCopy } from './source.ts';
import { copiedTables, OF_ARCHIVED, overAll, type TableGroup, tableGroups } from './tables.ts';
import { type Copying, templateOf } from './template.ts';
import { allOf, every, inOrder, inTurn, oneAfterAnother, replaceRows, TELL_EVERY_MS } from './write.ts';

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

/** Connections that write or make indexes. */
const WRITERS = 2;

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
    const archived = archive && (await readArchived(owner, uri, archive.before, log, copying));
    if (archived) rows.set(OF_ARCHIVED.table, archived.rows);
    const floor = archived?.floor ?? NO_FLOOR;

    const write = async ({ tables, indexed }: TableGroup, writer: pg.Client) => {
      const indexes = await dropIndexes(writer, indexed);
      for (const table of tables) {
        const { columns, lines } = rows.get(table.table)!;
        rows.delete(table.table);
        const written = table.byEvent ? inOrder(order, lines, table, floor) : oneAfterAnother(copies, lines);
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
    await numberUsers(owner, version, log, copying);
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

/** In the order of their first events, which are those of their first prompts. */
async function numberUsers(owner: pg.Client, version: number, { firstOf }: Log, copying: Copying): Promise<void> {
  const { order } = copying;
  const [names, positions] = [[] as string[], [] as number[]];
  for (const [name, first] of firstOf) {
    const nameIn = templateOf(name, ['user_id'], false, copying);
    for (let k = 0; k < order.copies; k += 1) {
      names.push(nameIn(k));
      positions.push(order.positions[first * order.copies + k]!);
    }
  }
  await owner.query(`TRUNCATE user_number_v${version}`);
  await owner.query(
    `INSERT INTO user_number_v${version} SELECT row_number() OVER (ORDER BY position) - 1, name
       FROM unnest($1::text[], $2::bigint[]) first (name, position) ORDER BY position`,
    [names, positions],
  );
}

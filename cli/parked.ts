/** `npm run parked -- list|replay`: streams set aside because of an event that could not be folded. */
import { Command, InvalidArgumentError } from 'commander';
import type pg from 'pg';
import { isUuid } from '../platform/ids.ts';
import { findParked, listParked, type Parked } from '../platform/postgres/parked.ts';
import { createPool } from '../platform/postgres/pool.ts';
import { replayParked } from '../projector/parking/replay-parked.ts';
import { CliError, cliConfig, postgresUri, runTool } from './target.ts';

const PAGE = 100;

async function withPool(work: (pool: pg.Pool) => Promise<void>): Promise<void> {
  const pool = createPool({
    uri: postgresUri(cliConfig()),
    name: 'parked',
    max: 2,
    // A projector's batch may hold the cursor for as long as its own limits allow.
    statementTimeoutMs: 60_000,
    transactionTimeoutMs: 90_000,
    onError: () => {}, // of idle connections; a statement that needs one rejects by itself
  });
  try {
    await work(pool);
  } finally {
    await pool.end();
  }
}

function countOf(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('must be a whole number above 0');
  return count;
}

async function* allParked(pool: pg.Pool) {
  for (let after: Parked | null = null; ; ) {
    const page = await listParked(pool, { after, limit: PAGE });
    yield* page.data;
    // By key: one that is still aside after its replay is not met again.
    after = page.data.at(-1) ?? null;
    if (!page.next || !after) return;
  }
}

async function list(pool: pg.Pool, limit: number): Promise<void> {
  const shown = [];
  let more = false;
  for await (const row of allParked(pool)) {
    more = shown.length === limit;
    if (more) break;
    shown.push(row);
  }
  if (shown.length === 0) return console.log('Nothing is set aside.');
  // A column of a table would cut the error, which is what one wants to read.
  for (const { projection, version, streamId, parkedAt, type, schemaVersion, waiting, error } of shown) {
    const event = type === null ? 'an event that the log does not have' : `${type} (schema version ${schemaVersion})`;
    console.log(`${streamId}  ${projection} v${version}  since ${parkedAt}  at ${event}, ${waiting} more behind it`);
    console.log(`  ${error}`);
  }
  if (more) console.log(`… and more: --limit ${limit * 10}`);
}

/** True when nothing of it is aside any more. */
async function replay(pool: pg.Pool, parked: Parked): Promise<boolean> {
  const { events, stopped } = await replayParked(pool, parked);
  const what = `${parked.streamId}  ${parked.projection} v${parked.version}  ${events} ${events === 1 ? 'event' : 'events'} folded`;
  console.log(stopped ? `${what}, still aside: ${stopped.message}` : `${what}, not aside any more`);
  return stopped === null;
}

async function replayAll(pool: pg.Pool, streams: AsyncIterable<Parked> | Parked[]): Promise<void> {
  let [done, left] = [0, 0];
  for await (const parked of streams) {
    if (await replay(pool, parked)) done += 1;
    else left += 1;
  }
  if (left > 0) throw new CliError(`${left} still aside, ${done} replayed: is this the release with the fix?`);
  console.log(done === 0 ? 'Nothing is set aside.' : `${done} replayed.`);
}

/** All are looked up before the first is replayed: a slip of the pen changes nothing. */
async function findAll(pool: pg.Pool, ids: string[]): Promise<Parked[]> {
  const found = new Map<string, Parked[]>();
  for (const id of new Set(ids.map((text) => text.toLowerCase()))) {
    const rows = isUuid(id) ? await findParked(pool, id) : [];
    if (rows.length === 0) throw new CliError(`Stream ${id} is not set aside: see "npm run parked -- list".`);
    found.set(id, rows);
  }
  return [...found.values()].flat();
}

const program = new Command('parked').description('streams that a projection has set aside').showHelpAfterError();
program
  .command('list')
  .description('streams set aside, the oldest first, each with the error of the event it waits at')
  .option('--limit <count>', 'at most so many', countOf, PAGE)
  .action(({ limit }: { limit: number }) => withPool((pool) => list(pool, limit)));
program
  .command('replay')
  .description('after the fix: fold what waits, in order; whatever cannot be folded still stays aside')
  .argument('[ids...]', 'streams (prompt ids), as shown by list')
  .option('--all', 'all of them', false)
  .action((ids: string[], { all }: { all: boolean }) =>
    withPool(async (pool) => {
      if (all === ids.length > 0) throw new CliError('Name the streams to replay, or say --all.');
      await replayAll(pool, all ? allParked(pool) : await findAll(pool, ids));
    }),
  );

await runTool(async () => {
  await program.parseAsync();
});

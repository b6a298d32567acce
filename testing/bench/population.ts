/**
 * A log of many prompts and the read models of it, written by COPY: what production would have after months. Everything in
 * it is drawn from a seed; events are as the services write them, folded by the projection's own code.
 */
import pg from 'pg';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { copyRows } from '../../platform/postgres/copy.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { type BatchRows, foldBatch, toStored } from '../../projector/projections/prompts/fold-batch.ts';
import {
  beginVersion,
  dropVersion,
  endBulkPhase,
  listVersions,
  serveVersion,
} from '../../projector/rebuild/versions.ts';
import { createRandom, type Random } from '../kit/random.ts';
import { type Asked, askedOf, history, idAt } from './history.ts';
import { dropIndexes } from './indexes.ts';

export type PopulationOptions = {
  uri: string;
  prompts: number;
  users: number;
  /** Up to now, over which the prompts are spread. */
  days: number;
  seed?: number;
  /**
   * So many prompts of one user, of one model, follow each other within four minutes of a quarter of an hour's beginning and
   * are a conversation; a prompt then has a word that its conversation has, and one that no other prompt has.
   */
  conversation?: number;
  /** Users ask in turn, each as much as any other; else a few of them ask most. */
  evenly?: boolean;
  /** The log alone: for rebuilds. */
  readModels?: boolean;
  onProgress?: (prompts: number) => void;
};

/** Prompts that are under way at the same time. */
const AT_ONCE = 200;

export type Population = { events: number; lastPosition: number };

/** Of an empty, migrated database; the login owns the tables. */
export async function populate(options: PopulationOptions): Promise<Population> {
  const pool = createPool({
    uri: options.uri,
    name: 'population',
    max: 4,
    statementTimeoutMs: 3_600_000,
    transactionTimeoutMs: 3_600_000,
    onError: () => {},
  });
  const owner = new pg.Client({ connectionString: options.uri, options: '-c synchronous_commit=off' });
  owner.on('error', () => {}); // the statement under way rejects by itself
  await owner.connect();
  try {
    return await write(owner, pool, options);
  } finally {
    await owner.end();
    await pool.end();
  }
}

async function write(owner: pg.Client, pool: pg.Pool, options: PopulationOptions): Promise<Population> {
  const { prompts, readModels = true } = options;
  const indexes = await dropIndexes(owner, 'event');
  const live = (await listVersions(pool)).find(({ isLive }) => isLive)!.version;
  const version = readModels ? await beginVersion(pool, { target: 0, frozen: false, prices: null, lanes: 1 }) : null;
  let last: RecordedEvent | undefined;
  let written = 0;
  for (const block of histories(options)) {
    await copyRows(owner, 'event', block.map(toLogRow));
    if (version !== null) await copyReadModels(owner, version, foldBatch(new Map(), block));
    last = block.at(-1);
    written += AT_ONCE * BLOCKS_AT_ONCE;
    options.onProgress?.(Math.min(prompts, written));
  }
  if (!last) throw new Error('a population needs prompts');
  const { position, recordedAt } = last;
  await owner.query('UPDATE log_head SET position = $1, recorded_at = $2', [position, recordedAt]);
  for (const definition of indexes) await owner.query(definition);
  await owner.query('ANALYZE event');
  if (version !== null) {
    await owner.query(`UPDATE cursor SET position = $1, events = $1 WHERE version = $2 AND lane = 1`, [
      position,
      version,
    ]);
    await endBulkPhase(pool, { version, target: position });
    if (!(await serveVersion(pool, version))) throw new Error('the version made is behind the one served');
    await dropVersion(pool, live);
  }
  await owner.query('CHECKPOINT');
  return { events: position, lastPosition: position };
}

const BLOCKS_AT_ONCE = 20;

/** Whole histories of some thousand prompts at a time, in the order of the log; those under way together interleave. */
function* histories(options: PopulationOptions): Generator<RecordedEvent[]> {
  const { prompts, seed = 1 } = options;
  const random = createRandom(seed);
  const end = Date.now();
  const asks = options.conversation ? conversations(random, options, end) : singly(random, options, end);
  let position = 0;
  let clock = 0;
  for (let first = 0; first < prompts; ) {
    const page: RecordedEvent[] = [];
    for (let block = 0; block < BLOCKS_AT_ONCE && first < prompts; block += 1) {
      const count = Math.min(AT_ONCE, prompts - first);
      const timed = Array.from({ length: count }, () => history(random, asks.next().value)).flat();
      timed.sort((a, b) => a.at - b.at);
      for (const { at, event } of timed) {
        position += 1;
        clock = Math.min(end, Math.max(clock, at));
        page.push({ ...event, position, recordedAt: new Date(clock).toISOString() } as RecordedEvent);
      }
      first += count;
    }
    yield page;
  }
}

function* singly(random: Random, { prompts, users, days }: PopulationOptions, end: number): Generator<Asked, never> {
  const spacing = (days * 86_400_000) / prompts;
  for (let n = 0; ; n += 1) yield { ...askedOf(random, users), submittedMs: end - (prompts - n) * spacing };
}

const QUARTER_MS = 900_000;

function* conversations(random: Random, options: PopulationOptions, end: number): Generator<Asked, never> {
  const { prompts, users, days, conversation = 1, evenly = false } = options;
  const spacing = (days * 86_400_000 * conversation) / prompts;
  for (let n = 0; ; ) {
    const start = Math.floor((end - ((prompts - n) / conversation) * spacing) / QUARTER_MS) * QUARTER_MS;
    const asked = { ...askedOf(random, users), conversationId: idAt(random, start) };
    if (evenly) asked.userId = `user-${Math.floor(n / conversation) % users}`;
    const topic = `topic${random.between(0, 999)}`;
    let submittedMs = start + random.between(0, 60_000);
    for (let i = 0; i < conversation; i += 1, n += 1) {
      yield { ...asked, submittedMs, words: `${topic} case${n}` };
      submittedMs += random.between(1_000, Math.floor(180_000 / conversation));
    }
  }
}

const toLogRow = (event: RecordedEvent) => ({
  position: event.position,
  stream_id: event.streamId,
  version: event.version,
  event_id: event.eventId,
  type: event.type,
  schema_version: event.schemaVersion,
  data: event.data,
  metadata: event.metadata,
  recorded_at: event.recordedAt,
});

/** Sums go to the version's deltas, as in a rebuild's bulk phase. */
async function copyReadModels(owner: pg.Client, version: number, rows: BatchRows): Promise<void> {
  await copyRows(owner, `prompt_v${version}`, rows.prompts.map(toStored));
  await copyRows(owner, `prompt_text_v${version}`, rows.texts);
  await copyRows(owner, `usage_delta_v${version}`, rows.usage);
  const first = `INSERT INTO real_use_v${version} (position) VALUES ($1) ON CONFLICT DO NOTHING`;
  if (rows.realUse !== null) await owner.query(first, [rows.realUse]);
}

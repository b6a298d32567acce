/**
 * A log of many prompts and the read models of it, written by COPY: what production would have after months. Everything in
 * it is drawn from a seed; events are as the services write them, folded by the projection's own code.
 */
import pg from 'pg';
import type { EventMetadata, RecordedEvent } from '../../contracts/envelope.ts';
import type { EventData } from '../../contracts/prompt/events.ts';
import { copyRows } from '../../platform/postgres/copy.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { type BatchRows, foldBatch } from '../../projector/projections/prompts/fold-batch.ts';
import {
  beginVersion,
  dropVersion,
  endBulkPhase,
  listVersions,
  serveVersion,
} from '../../projector/rebuild/versions.ts';
import { createRandom, type Random } from '../kit/random.ts';

export type PopulationOptions = {
  uri: string;
  prompts: number;
  users: number;
  /** Up to now, over which the prompts are spread. */
  days: number;
  seed?: number;
  /** The log alone: for rebuilds. */
  readModels?: boolean;
  onProgress?: (prompts: number) => void;
};

const MODELS = ['gemini-2.5-flash', 'gemini-2.5-flash', 'gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'];
const WORDS = 'why is the sky blue over old harbours when rain and light meet on slow green water at dawn'.split(' ');
const PRICES = 'genai-prices@bench';
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
  const indexes = await dropIndexes(owner);
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

/** An index that grows row by row costs several times what it costs at the end. Returns what makes them again. */
async function dropIndexes(owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<{ name: string; definition: string; is_constraint: boolean }>(
    `SELECT i.indexrelid::regclass::text AS name, c.oid IS NOT NULL AS is_constraint,
            coalesce('ALTER TABLE event ADD CONSTRAINT ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid),
                     pg_get_indexdef(i.indexrelid)) AS definition
       FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
      WHERE i.indrelid = 'event'::regclass`,
  );
  for (const { name, is_constraint } of rows)
    await owner.query(is_constraint ? `ALTER TABLE event DROP CONSTRAINT ${name}` : `DROP INDEX ${name}`);
  return rows.map(({ definition }) => definition);
}

const BLOCKS_AT_ONCE = 20;

/** Whole histories of some thousand prompts at a time, in the order of the log; those under way together interleave. */
function* histories({ prompts, users, days, seed = 1 }: PopulationOptions): Generator<RecordedEvent[]> {
  const random = createRandom(seed);
  const end = Date.now();
  const spacing = (days * 86_400_000) / prompts;
  let position = 0;
  let clock = 0;
  for (let first = 0; first < prompts; ) {
    const page: RecordedEvent[] = [];
    for (let block = 0; block < BLOCKS_AT_ONCE && first < prompts; block += 1) {
      const count = Math.min(AT_ONCE, prompts - first);
      const timed = Array.from({ length: count }, (_, i) =>
        history(random, users, end - (prompts - first - i) * spacing),
      ).flat();
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

type Timed = { at: number; event: object };

/** Most are answered, some after a failure; some fail. */
function history(random: Random, users: number, submittedMs: number): Timed[] {
  const streamId = idAt(random, submittedMs);
  // A few users ask most of what is asked.
  const userId = `user-${Math.floor(users * random.next() ** 2)}`;
  const model = random.pick(MODELS);
  const submittedAt = new Date(submittedMs).toISOString();
  const subject = { userId, model, submittedAt };
  const metadata: EventMetadata = {
    correlationId: streamId,
    causationId: null,
    traceparent: `00-${hex(random, 32)}-${hex(random, 16)}-01`,
    actor: `user:${userId}`,
  };
  const made: Timed[] = [];
  let at = submittedMs;
  const put = <T extends RecordedEvent['type']>(type: T, afterMs: number, data: EventData<T>) => {
    at += afterMs;
    made.push({
      at,
      event: { type, data, streamId, version: made.length + 1, eventId: idAt(random, at), schemaVersion: 1, metadata },
    });
  };
  put('PromptSubmitted', 0, {
    userId,
    model,
    prompt: words(random, random.between(5, 30)),
    system: null,
    temperature: null,
    maxOutputTokens: null,
    mode: 'answer',
    lane: 'normal',
    retry: 'auto',
    conversationId: null,
    notBefore: null,
    expiresAt: null,
    metadata: {},
    costBound: 2_000_000,
    priceVersion: PRICES,
  });
  const failures = random.chance(0.04) ? 1 : 0;
  const isFailed = random.chance(0.02);
  for (let attempt = 1; attempt <= failures + 1; attempt += 1) {
    const token = idAt(random, at);
    put('AttemptStarted', random.between(5, 800), {
      ...subject,
      attempt,
      token,
      generation: 0,
      worker: 'worker-1',
      boundNanoUsd: 2_000_000,
      priceVersion: PRICES,
    });
    const inputTokens = random.between(10, 400);
    const outputTokens = random.between(20, 900);
    const answered = attempt > failures && !isFailed;
    const usage = answered
      ? { inputTokens, cachedInputTokens: 0, outputTokens, thoughtTokens: 0, totalTokens: inputTokens + outputTokens }
      : null;
    const accounting = {
      usage,
      rawUsage: usage && {
        promptTokenCount: inputTokens,
        candidatesTokenCount: outputTokens,
        totalTokenCount: inputTokens + outputTokens,
      },
      nanoUsd: usage ? inputTokens * 300 + outputTokens * 2_500 : 0,
      boundNanoUsd: null,
      priceVersion: PRICES,
      emulated: false,
    };
    const ms = random.between(200, 4_000);
    if (answered) {
      put('PromptCompleted', ms, {
        ...subject,
        ...accounting,
        attempt,
        token,
        generation: 0,
        answer: words(random, random.between(10, 60)),
        encoding: 'plain',
        finishReason: 'STOP',
        truncated: false,
        modelVersion: model,
      } as EventData<'PromptCompleted'>);
    } else {
      const last = attempt > failures;
      put('AttemptFailed', ms, {
        ...subject,
        ...accounting,
        attempt,
        token,
        end: last ? 'failed' : 'retry',
        code: 'provider_error',
        message: 'The provider answered 503.',
        httpStatus: 503,
        retryAt: null,
      } as unknown as EventData<'AttemptFailed'>);
      if (last)
        put('PromptFailed', 0, {
          ...subject,
          attempt,
          code: 'provider_error',
          message: 'The provider answered 503.',
        });
    }
  }
  return made;
}

const words = (random: Random, n: number): string => Array.from({ length: n }, () => random.pick(WORDS)).join(' ');
const hex = (random: Random, digits: number): string => {
  let text = '';
  while (text.length < digits)
    text += Math.floor(random.next() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return text.slice(0, digits);
};
/** A UUIDv7 of that time. */
function idAt(random: Random, ms: number): string {
  const time = Math.floor(ms).toString(16).padStart(12, '0');
  const rest = hex(random, 18);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-8${rest.slice(3, 6)}-${rest.slice(6)}`;
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
  await copyRows(owner, `prompt_v${version}`, rows.prompts);
  await copyRows(owner, `prompt_text_v${version}`, rows.texts);
  await copyRows(owner, `usage_delta_v${version}`, rows.usage);
  await copyRows(owner, `latency_delta_v${version}`, rows.latencies);
  const first = `INSERT INTO real_use_v${version} (position) VALUES ($1) ON CONFLICT DO NOTHING`;
  if (rows.realUse !== null) await owner.query(first, [rows.realUse]);
}

/** A seeded log of many prompts over weeks, written with times of its own, for tests of what is summed and looked back to. */
import type { RecordedEvent } from '../../contracts/envelope.ts';
import type { EventData, PromptEvent } from '../../contracts/prompt/events.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import type { TestDatabase } from './database.ts';
import { createRandom, type Random } from './random.ts';

export type RandomLogOptions = { seed: number; prompts: number; users: number; from: number; to: number };
type Timed = { at: number; streamId: string; event: PromptEvent };

export const MODELS = ['gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'] as const;

/**
 * In the order of the log; the first third of the time has no real key. Prompts go on past it, and later on one may be
 * emulated again: some have attempts of both kinds, either kind first.
 */
export function randomLog({ seed, prompts, users, from, to }: RandomLogOptions): RecordedEvent[] {
  const random = createRandom(seed);
  const timed = Array.from({ length: prompts }, (_, i) => history(random, i, users, from, to)).flat();
  timed.sort((a, b) => a.at - b.at);
  const versions = new Map<string, number>();
  return timed.map(({ at, streamId, event }, i) => {
    const version = (versions.get(streamId) ?? 0) + 1;
    versions.set(streamId, version);
    return {
      ...event,
      position: i + 1,
      streamId,
      version,
      eventId: newId(),
      schemaVersion: 1,
      metadata: { correlationId: 'test', causationId: null, traceparent: null, actor: 'user:test' },
      recordedAt: new Date(at).toISOString(),
    } as RecordedEvent;
  });
}

function history(random: Random, n: number, users: number, from: number, to: number): Timed[] {
  const streamId = newId();
  // Some quarters of an hour have many prompts.
  const start = random.chance(0.3)
    ? from + Math.floor((to - from) / 7) * random.between(0, 6) + random.between(0, 900_000)
    : random.between(from, to);
  const userId = `user-${Math.floor(random.next() ** 2 * users)}`;
  const model = random.pick(MODELS);
  const submittedAt = new Date(start).toISOString();
  const subject = { userId, model, submittedAt };
  const events: Timed[] = [];
  let at = start;
  const put = (event: PromptEvent, wait = random.between(1, random.chance(0.05) ? 200_000_000 : 60_000)) => {
    at += events.length === 0 ? 0 : wait;
    // Prices change all the time: whose it is that counts shows.
    if ('priceVersion' in event.data) event.data.priceVersion = `p${events.length % 3}`;
    events.push({ at, streamId, event });
  };
  const words = random.pick(['sea', 'land', 'sky']);
  put({ type: 'PromptSubmitted', data: { ...submission, userId, model, prompt: `question ${n} of the ${words}` } });
  let attempt = 0;
  let generation = 0;
  const begin = () => {
    attempt += 1;
    const token = newId();
    put({
      type: 'AttemptStarted',
      data: { ...subject, attempt, token, generation, worker: 'w', boundNanoUsd: 9_000, priceVersion: 'p' },
    });
    return { ...subject, attempt, token, ...accounting(random, at < from + (to - from) / 3) };
  };
  const complete = (started: ReturnType<typeof begin>) =>
    put({
      type: 'PromptCompleted',
      data: {
        ...started,
        answer: `answer ${n} from the ${random.pick(['shore', 'hills'])}`,
        encoding: 'plain',
        finishReason: 'STOP',
        truncated: false,
        modelVersion: null,
      },
    });
  const fail = (started: ReturnType<typeof begin>, end: 'retry' | 'failed' | 'lost') =>
    put({ type: 'AttemptFailed', data: { ...started, end, code: 'test', message: 'made so', retryInSeconds: 1 } });
  const lost: ReturnType<typeof begin>[] = [];
  /** Nobody knows what it cost, nor who was called, until its worker may tell after all. */
  const lose = (started: ReturnType<typeof begin>) => {
    lost.push(started);
    fail({ ...started, usage: null, nanoUsd: null, boundNanoUsd: 9_000, emulated: false }, 'lost');
  };
  if (random.chance(0.1)) return events;
  let started = begin();
  if (random.chance(0.1)) return events;
  while (random.chance(0.3)) {
    if (random.chance(0.5)) fail(started, 'retry');
    else lose(started);
    started = begin();
  }
  const fate = random.next();
  const correct = (of: { attempt: number; token: string }) =>
    put({
      type: 'AttemptCostCorrected',
      data: {
        ...subject,
        attempt: of.attempt,
        token: of.token,
        nanoUsd: random.between(0, 9_000),
        reason: 'bill',
        by: 'r',
      },
    });
  if (fate < 0.65) complete(started);
  else if (fate < 0.75) {
    put({ type: 'PromptCancelled', data: { ...subject, by: userId } as EventData<'PromptCancelled'> });
    put({ type: 'AttemptDiscarded', data: { ...started, code: 'late_answer' } });
  } else {
    fail(started, 'failed');
    put({ type: 'PromptFailed', data: { ...subject, attempt, code: 'test', message: 'made so' } });
    if (random.chance(0.6)) {
      generation += 1;
      put(
        { type: 'PromptRequeued', data: { ...subject, generation, reason: null, by: userId } },
        random.between(1, 400_000_000),
      );
      complete(begin());
    }
  }
  for (const one of lost) {
    if (random.chance(0.2)) correct(one);
    if (random.chance(0.5)) put({ type: 'AttemptDiscarded', data: { ...one, code: 'late_answer' } });
  }
  while (random.chance(0.1)) correct(started);
  return events.filter((one) => one.at <= to);
}

function accounting(random: Random, early: boolean) {
  const inputTokens = random.between(0, 500);
  const usage = {
    inputTokens,
    cachedInputTokens: 0,
    outputTokens: random.between(0, 900),
    thoughtTokens: random.between(0, 50),
    totalTokens: 0,
  };
  const known = random.chance(0.85);
  return {
    usage: known ? usage : null,
    rawUsage: null,
    // Some cost nothing.
    nanoUsd: known ? random.between(0, 5_000) * (inputTokens % 10 === 0 ? 0 : 1) : null,
    boundNanoUsd: known ? null : 9_000,
    priceVersion: 'p',
    emulated: early || random.chance(0.4),
  };
}

/** Past `append_events`, which knows no time but its own. */
export async function writeLog(database: TestDatabase, events: RecordedEvent[]): Promise<void> {
  await database.pool.query(
    `INSERT INTO event (position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
     SELECT * FROM jsonb_to_recordset($1) AS e("position" bigint, "streamId" uuid, version integer, "eventId" uuid, type text,
       "schemaVersion" smallint, data jsonb, metadata jsonb, "recordedAt" timestamptz)`,
    [JSON.stringify(events)],
  );
  const last = events.at(-1)!;
  await database.pool.query('UPDATE log_head SET position = $1, recorded_at = $2', [last.position, last.recordedAt]);
}

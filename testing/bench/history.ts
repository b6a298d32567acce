/** What happens to one prompt of a population, drawn from a seed. */
import type { EventMetadata, RecordedEvent } from '../../contracts/envelope.ts';
import type { EventData } from '../../contracts/prompt/events.ts';
import type { Random } from '../kit/random.ts';

const MODELS = ['gemini-2.5-flash', 'gemini-2.5-flash', 'gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'];
const WORDS = 'why is the sky blue over old harbours when rain and light meet on slow green water at dawn'.split(' ');
const PRICES = 'genai-prices@bench';

export type Asked = {
  userId: string;
  model: string;
  conversationId: string | null;
  /** At the end of a prompt that is short then, as its answer is: ten million of them are to fit on a disk. */
  words: string | null;
  submittedMs: number;
};

/** A few users ask most of what is asked. */
export const askedOf = (random: Random, users: number): Omit<Asked, 'submittedMs'> => ({
  userId: `user-${Math.floor(users * random.next() ** 2)}`,
  model: random.pick(MODELS),
  conversationId: null,
  words: null,
});

export type Timed = { at: number; event: object };

/** Most are answered, some after a failure; some fail, some are cancelled. */
export function history(random: Random, { userId, model, conversationId, words: ends, submittedMs }: Asked): Timed[] {
  const streamId = idAt(random, submittedMs);
  const isShort = ends !== null;
  const submittedAt = new Date(submittedMs).toISOString();
  const subject = { userId, model, submittedAt };
  const metadata: EventMetadata = {
    correlationId: streamId,
    causationId: null,
    traceparent: isShort ? null : `00-${hex(random, 32)}-${hex(random, 16)}-01`,
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
    prompt: isShort ? `${words(random, random.between(3, 8))} ${ends}` : words(random, random.between(5, 30)),
    system: null,
    temperature: null,
    maxOutputTokens: null,
    mode: 'answer',
    lane: 'normal',
    retry: 'auto',
    conversationId,
    notBefore: null,
    expiresAt: null,
    metadata: {},
    costBound: 2_000_000,
    priceVersion: PRICES,
  });
  if (random.chance(0.03)) {
    put('PromptCancelled', random.between(1, 500), {
      ...subject,
      by: `user:${userId}`,
    } as EventData<'PromptCancelled'>);
    return made;
  }
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
    // Of attempts without an answer some are charged all the same, and of some nobody knows.
    const failed = random.pick(['free', 'free', 'charged', 'unknown'] as const);
    const usage =
      answered || failed === 'charged'
        ? { inputTokens, cachedInputTokens: 0, outputTokens, thoughtTokens: 0, totalTokens: inputTokens + outputTokens }
        : null;
    const isUnknown = !answered && failed === 'unknown';
    const accounting = {
      usage,
      rawUsage: usage && {
        promptTokenCount: inputTokens,
        candidatesTokenCount: outputTokens,
        totalTokenCount: inputTokens + outputTokens,
      },
      nanoUsd: usage ? inputTokens * 300 + outputTokens * 2_500 : isUnknown ? null : 0,
      boundNanoUsd: isUnknown ? 2_000_000 : null,
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
        answer: words(random, isShort ? random.between(6, 16) : random.between(10, 60)),
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
        end: isUnknown ? 'unknown' : last ? 'failed' : 'retry',
        code: 'provider_error',
        message: 'The provider answered 503.',
        retryInSeconds: last ? null : 1,
      });
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
export function idAt(random: Random, ms: number): string {
  const time = Math.floor(ms).toString(16).padStart(12, '0');
  const rest = hex(random, 18);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-8${rest.slice(3, 6)}-${rest.slice(6)}`;
}

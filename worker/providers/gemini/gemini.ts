/** Gemini through its SDK. The SDK's own retries stay off: they would repeat paid calls that nobody recorded. */
import { type GenerateContentParameters, GoogleGenAI } from '@google/genai';
import type { GenerateContext, GenerateRequest, Outcome, Provider } from '../provider.ts';
import { AnswerTooLargeError, boundedFetch } from './bounded-fetch.ts';
import { classifyError } from './classify-error.ts';
import { addChunk, billingOf, conclude, newReading } from './read-stream.ts';

export type GeminiOptions = {
  apiKey: string;
  /** Another address of the API, e.g. the emulator's. */
  baseUrl?: string;
  /** The address is known to be an emulator: also its refusals are made up. */
  emulated?: boolean;
  now: () => Date;
};

export function createGeminiProvider(options: GeminiOptions): Provider {
  // `retryOptions` must stay absent: even an empty one makes five calls of one.
  const client = new GoogleGenAI({
    apiKey: options.apiKey,
    httpOptions: { fetch: boundedFetch, ...(options.baseUrl && { baseUrl: options.baseUrl }) },
  });
  return {
    name: 'gemini',
    generate: (request, context) => generate(client, request, context, options),
  };
}

async function generate(
  client: GoogleGenAI,
  request: GenerateRequest,
  context: GenerateContext,
  options: GeminiOptions,
): Promise<Outcome> {
  const { signal } = context;
  const reading = newReading(options.emulated ?? false);
  /** Ours alone: ends the request when we want no more of it, which `signal` would report as somebody's wish. */
  const end = new AbortController();
  const cut = whenAborted(signal);
  let started = false;
  try {
    signal.throwIfAborted();
    const sent = client.models.generateContentStream(parameters(request, AbortSignal.any([signal, end.signal])));
    const stream = await orCut(sent, cut.promise);
    started = true;
    for (;;) {
      const next = await orCut(stream.next(), cut.promise);
      if (next.done) break;
      const { text, tooLarge } = addChunk(reading, next.value);
      if (tooLarge) return giveUp(reading);
      if (text !== '') context.onDelta(text);
    }
    return conclude(reading);
  } catch (error) {
    if (error instanceof AnswerTooLargeError) return giveUp(reading);
    return classifyError(error, {
      signal,
      started,
      rawUsage: reading.usage ?? null,
      emulated: reading.emulated,
      secret: options.apiKey,
      now: options.now(),
    });
  } finally {
    cut.dispose();
    end.abort();
  }
}

function parameters(request: GenerateRequest, signal: AbortSignal): GenerateContentParameters {
  const { model, prompt, system, temperature, maxOutputTokens, attemptId } = request;
  return {
    model,
    contents: [{ role: 'user', parts: [{ text: prompt }] }],
    config: {
      abortSignal: signal,
      httpOptions: { headers: { 'x-attempt-id': attemptId } },
      ...(system !== undefined && { systemInstruction: system }),
      ...(temperature !== undefined && { temperature }),
      ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    },
  };
}

function giveUp(reading: ReturnType<typeof newReading>): Outcome {
  const billing = { known: false, rawUsage: billingOf(reading).rawUsage } as const;
  const message = 'the answer is larger than any answer can be';
  return { type: 'failed', code: 'answer_too_large', message, finishReason: null, billing, emulated: reading.emulated };
}

const CUT = Symbol('cut');

/** The SDK notices an abort only when the network moves; a hanging stream would hold the slot. */
async function orCut<T>(work: Promise<T>, cut: Promise<typeof CUT>): Promise<T> {
  const first = await Promise.race([work, cut]);
  if (first === CUT) throw new Error('the call was cut');
  return first as T;
}

function whenAborted(signal: AbortSignal): { promise: Promise<typeof CUT>; dispose: () => void } {
  let onAbort = () => {};
  const promise = new Promise<typeof CUT>((resolve) => {
    onAbort = () => resolve(CUT);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  return { promise, dispose: () => signal.removeEventListener('abort', onAbort) };
}

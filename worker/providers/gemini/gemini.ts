/** Gemini through its SDK. The SDK's own retries stay off: they would repeat paid calls that nobody recorded. */
import { type GenerateContentParameters, GoogleGenAI } from '@google/genai';
import type { GenerateContext, GenerateRequest, Outcome, Provider } from '../provider.ts';
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
    ...(options.baseUrl && { httpOptions: { baseUrl: options.baseUrl } }),
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
  const aborted = rejectOnAbort(signal);
  let started = false;
  try {
    signal.throwIfAborted();
    const stream = await Promise.race([
      client.models.generateContentStream(parameters(request, signal)),
      aborted.promise,
    ]);
    started = true;
    for (;;) {
      // The SDK notices an abort only when the network moves; a hanging stream would hold the slot.
      const next = await Promise.race([stream.next(), aborted.promise]);
      if (next.done) break;
      const { text, tooLarge } = addChunk(reading, next.value);
      if (tooLarge) return await giveUp(stream, reading);
      if (text !== '') context.onDelta(text);
    }
    return conclude(reading);
  } catch (error) {
    return classifyError(error, {
      signal,
      started,
      rawUsage: reading.usage ?? null,
      emulated: reading.emulated,
      now: options.now(),
    });
  } finally {
    aborted.dispose();
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

async function giveUp(stream: AsyncGenerator<unknown>, reading: ReturnType<typeof newReading>): Promise<Outcome> {
  await stream.return(undefined);
  const billing = { known: false, rawUsage: billingOf(reading).rawUsage } as const;
  const message = 'the answer is larger than any answer can be';
  return { type: 'failed', code: 'answer_too_large', message, finishReason: null, billing, emulated: reading.emulated };
}

function rejectOnAbort(signal: AbortSignal): { promise: Promise<never>; dispose: () => void } {
  let onAbort = () => {};
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => reject(new Error('aborted'));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  // Raced more than once, or never again: its rejection always counts as heard.
  promise.catch(() => undefined);
  return { promise, dispose: () => signal.removeEventListener('abort', onAbort) };
}

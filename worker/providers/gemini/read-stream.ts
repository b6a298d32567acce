/** Gathers a streamed answer; tells what it was when the stream has ended. */
import type { GenerateContentResponse, GenerateContentResponseUsageMetadata } from '@google/genai';
import type { Billing, Outcome } from '../provider.ts';
import { shrank, toUsage } from './usage.ts';

export const EMULATED_MODEL = /-emulated$/;

/** UTF-8. Many times what any model writes, and what Postgres takes in one append in seconds: a stream that goes on is a fault. */
const MOST_BYTES = 8_000_000;

export type Reading = {
  pieces: string[];
  bytes: number;
  finishReason: string | null;
  blockReason: string | null;
  usage: GenerateContentResponseUsageMetadata | undefined;
  usageDoubtful: boolean;
  modelVersion: string | null;
  readonly emulated: boolean;
};

export const newReading = (emulated: boolean): Reading => ({
  pieces: [],
  bytes: 0,
  finishReason: null,
  blockReason: null,
  usage: undefined,
  usageDoubtful: false,
  modelVersion: null,
  get emulated() {
    return emulated || EMULATED_MODEL.test(this.modelVersion ?? '');
  },
});

/** Adds a chunk; returns its text. False when the answer is larger than any can be. */
export function addChunk(reading: Reading, chunk: GenerateContentResponse): { text: string; tooLarge: boolean } {
  const [candidate] = chunk.candidates ?? [];
  // Thoughts are billed as output and are no answer.
  const text = (candidate?.content?.parts ?? []).map((part) => (part.thought ? '' : (part.text ?? ''))).join('');
  if (text !== '') reading.pieces.push(text);
  reading.bytes += Buffer.byteLength(text);
  reading.finishReason = candidate?.finishReason ?? reading.finishReason;
  reading.blockReason = chunk.promptFeedback?.blockReason ?? reading.blockReason;
  reading.modelVersion = chunk.modelVersion ?? reading.modelVersion;
  if (chunk.usageMetadata) {
    reading.usageDoubtful ||= shrank(reading.usage, chunk.usageMetadata);
    reading.usage = chunk.usageMetadata;
  }
  return { text, tooLarge: reading.bytes > MOST_BYTES };
}

export function billingOf(reading: Reading): Billing {
  const usage = reading.usageDoubtful ? null : toUsage(reading.usage);
  return usage ? { known: true, usage, rawUsage: reading.usage } : { known: false, rawUsage: reading.usage ?? null };
}

/** The stream ended by itself. HTTP 200 is not success, and a clean end is not a whole answer. */
export function conclude(reading: Reading): Outcome {
  const { finishReason, blockReason, modelVersion, emulated } = reading;
  const billing = billingOf(reading);
  const answer = reading.pieces.join('');
  const failed = (code: string, message: string): Outcome => ({
    type: 'failed',
    code,
    message,
    finishReason,
    billing,
    emulated,
  });
  if (blockReason) return failed('blocked', `the provider blocked the prompt: ${blockReason}`);
  switch (finishReason) {
    case null:
      // Cut exactly between two events, a stream ends cleanly; without any candidate the model simply said nothing.
      if (reading.pieces.length === 0 && reading.usage) return failed('empty_answer', 'the model gave no answer');
      return {
        type: 'unknown',
        code: 'truncated_stream',
        message: 'the stream ended before the answer did',
        billing: { known: false, rawUsage: reading.usage ?? null },
        emulated,
      };
    case 'STOP':
      if (answer === '') return failed('empty_answer', 'the model gave no answer');
      return { type: 'completed', answer, finishReason, truncated: false, billing, modelVersion, emulated };
    case 'MAX_TOKENS':
      if (answer === '') return failed('max_tokens', 'the output limit was used up before any answer was written');
      return { type: 'completed', answer, finishReason, truncated: true, billing, modelVersion, emulated };
    default:
      return failed(
        BLOCKED.has(finishReason) ? 'blocked' : 'stopped',
        `the provider ended the answer: ${finishReason.slice(0, 100)}`,
      );
  }
}

const BLOCKED = new Set([
  'SAFETY',
  'RECITATION',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'LANGUAGE',
]);

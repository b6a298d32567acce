/**
 * fetch for a call that is paid for: one request, to the address it was meant for, and no more of an answer in memory than an
 * answer can be.
 */

import { ApiError } from '@google/genai';
import { Agent } from 'undici';

/** Of an answer, with all that a stream says beside its text: more than any model writes. */
const MOST_BYTES = 64_000_000;
/** Of one line of it: the SDK looks at all that it holds of an event with every piece that comes. */
const LONGEST_LINE_BYTES = 2_000_000;
/** Of what comes with a refusal. */
const MOST_REFUSAL_BYTES = 1_000_000;

/** How long a call may take is the attempt's to say: fetch itself gives up after five minutes of silence, paid for or not. */
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

export class AnswerTooLargeError extends Error {
  constructor() {
    super('the answer is larger than any answer can be');
  }
}

/** A redirect is the answer itself: followed, it would be a second call, and take the key along. */
export const boundedFetch: typeof fetch = async (input, init) => {
  const ours: RequestInit & { dispatcher: Agent } = { ...init, redirect: 'manual', dispatcher };
  const response = await fetch(input, ours);
  const { body, ok, status, statusText, headers } = response;
  if (status >= 300 && status < 400) {
    await body?.cancel();
    throw new ApiError({ status, message: 'a redirect, which is not followed' });
  }
  if (!body) return response;
  if (ok) return new Response(body.pipeThrough(bounded()), { status, statusText, headers });
  const told = await firstOf(body, MOST_REFUSAL_BYTES);
  // Cut JSON is none: without the type that it claims it is taken for text.
  return new Response(told, { status, statusText, ...(told !== null && { headers }) });
};

const LINE_FEED = 0x0a;

function bounded(): TransformStream<Uint8Array, Uint8Array> {
  let [all, line] = [0, 0];
  return new TransformStream({
    transform(piece, controller) {
      all += piece.length;
      const lastEnd = piece.lastIndexOf(LINE_FEED);
      line = lastEnd === -1 ? line + piece.length : piece.length - 1 - lastEnd;
      if (all > MOST_BYTES || line > LONGEST_LINE_BYTES) throw new AnswerTooLargeError();
      controller.enqueue(piece);
    },
  });
}

/** All of it; null when it is longer. */
async function firstOf(body: ReadableStream<Uint8Array>, most: number): Promise<Buffer<ArrayBuffer> | null> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > most) return null; // leaving the loop cancels the rest
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

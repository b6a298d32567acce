/** Bounds on waiting where somebody else waits for us. */

/** A client learns within this time that it cannot be served now. */
export const ANSWER_WITHIN_MS = 2_000;

/** No word in time; what was asked for may still happen. */
export class NoAnswerError extends Error {
  readonly code = 'no_answer';
}

/** The work's own outcome, or `NoAnswerError` after `ms`; the work itself goes on and is nobody's any more. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswerError(`no answer within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

import type { AppendEvents } from './append.ts';

/** No word of Postgres in time: the append may take effect or not. */
export class AppendUnansweredError extends Error {
  readonly code = 'append_unanswered';
}

/** For whoever has somebody waiting: an answer within `ms`, or an error that leaves open what came of it. */
export const answerWithin =
  (append: AppendEvents, ms: number): AppendEvents =>
  async (one) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new AppendUnansweredError(`no answer within ${ms} ms`)), ms);
    });
    try {
      return await Promise.race([append(one), late]);
    } finally {
      clearTimeout(timer);
    }
  };

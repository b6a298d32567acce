/**
 * Natural batching: one call in flight, and whatever arrives meanwhile goes in the next. No timer, so a lone append
 * waits for nobody; under load the batch grows by itself. One append per event per call is bound by the flush under
 * the append lock (305/s at 2 ms per flush); batches are what makes the log fast.
 */
import type pg from 'pg';
import { type Append, type AppendResult, appendCall, encodeAppend } from './append.ts';
import { isConnectionLoss, isLocked, isRetryable } from './sqlstate.ts';

export type AppenderOptions = {
  pool: pg.Pool;
  /** For an append that is larger than a call may be and goes alone: its statements may take longer. By default `pool`. */
  largePool?: pg.Pool;
  /** Appends waiting, above which new ones are refused with `AppenderBusyError`. */
  queueLimit: number;
  /** Appends in one call. */
  batchLimit?: number;
  /** Bytes in one call: a few large prompts must not hold the lock for long. */
  batchBytes?: number;
  /** Milliseconds during which a call that met a passing fault is made again. Appends are idempotent by event id. */
  retryForMs?: number;
  onCall?: (call: { appends: number; bytes: number; seconds: number }) => void;
};

/** Too much is waiting already, or the process stops: answer 503 and let the client come again. */
export class AppenderBusyError extends Error {
  readonly code = 'overloaded';
}

/** No word of Postgres in time: the append was sent, and may take effect or not. */
export class AppendUnansweredError extends Error {
  readonly code = 'append_unanswered';
}

export type Appender = {
  append: (append: Append) => Promise<AppendResult>;
  /**
   * For whoever has somebody waiting: an answer within `ms`. What was not sent by then is taken back and surely takes no
   * effect (`AppenderBusyError`); of what was sent nobody knows (`AppendUnansweredError`).
   */
  appendWithin: (append: Append, ms: number) => Promise<AppendResult>;
  readonly waiting: number;
  /** Refuses new appends and resolves when the last one is answered. */
  stop: () => Promise<void>;
};

type Waiting = {
  streamId: string;
  encoded: string;
  bytes: number;
  /** When it first met a row that somebody else holds. */
  lockedAt?: number;
  resolve: (result: AppendResult) => void;
  reject: (error: unknown) => void;
};

const LOCKED_PAUSE_MS = 150;

export function createAppender(options: AppenderOptions): Appender {
  const { pool, largePool = pool, queueLimit, batchLimit = 100, batchBytes = 1_000_000, retryForMs = 1_500 } = options;
  let queue: Waiting[] = [];
  let inFlight: Promise<void> | null = null;
  const later = new Set<Promise<void>>();
  let stopped = false;

  function enqueue(append: Append): { waiting: Waiting; answer: Promise<AppendResult> } | AppenderBusyError {
    if (stopped) return new AppenderBusyError('the process is shutting down');
    if (queue.length >= queueLimit) return new AppenderBusyError(`${queue.length} appends are waiting`);
    const encoded = encodeAppend(append);
    const { promise: answer, resolve, reject } = Promise.withResolvers<AppendResult>();
    const waiting = { streamId: append.streamId, encoded, bytes: Buffer.byteLength(encoded), resolve, reject };
    push(waiting);
    return { waiting, answer };
  }

  function push(waiting: Waiting): void {
    queue.push(waiting);
    // The next tick of the microtask queue would batch nothing; setImmediate lets one turn's requests in.
    if (!inFlight) inFlight = new Promise((done) => setImmediate(() => void drain().then(done)));
  }

  /** A row that is held is waited for by who wants to change it, not by everybody behind. False: for long enough. */
  function comesAgain(one: Waiting): boolean {
    const now = performance.now();
    one.lockedAt ??= now;
    if (now - one.lockedAt > retryForMs) return false;
    const again = new Promise<void>((resolve) =>
      setTimeout(() => {
        push(one);
        later.delete(again);
        resolve();
      }, LOCKED_PAUSE_MS),
    );
    later.add(again);
    return true;
  }

  function append(one: Append): Promise<AppendResult> {
    const queued = enqueue(one);
    return queued instanceof AppenderBusyError ? Promise.reject(queued) : queued.answer;
  }

  async function appendWithin(one: Append, ms: number): Promise<AppendResult> {
    const queued = enqueue(one);
    if (queued instanceof AppenderBusyError) throw queued;
    const { waiting, answer } = queued;
    const timer = setTimeout(() => {
      const at = queue.indexOf(waiting);
      if (at === -1) return waiting.reject(new AppendUnansweredError(`no answer within ${ms} ms`));
      queue.splice(at, 1);
      return waiting.reject(new AppenderBusyError(`not sent within ${ms} ms`));
    }, ms);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = nextBatch();
      await send(batch);
    }
    inFlight = null;
  }

  function nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const rest: Waiting[] = [];
    const streams = new Set<string>();
    let bytes = 0;
    let full = false;
    for (const one of queue) {
      full ||= batch.length >= batchLimit || (batch.length > 0 && bytes + one.bytes > batchBytes);
      if (full || streams.has(one.streamId)) {
        rest.push(one);
        continue;
      }
      streams.add(one.streamId);
      bytes += one.bytes;
      batch.push(one);
    }
    queue = rest;
    return batch;
  }

  async function send(batch: Waiting[]): Promise<void> {
    try {
      const results = await callWithRetry(batch);
      batch.forEach((one, i) => {
        const result = results[i]!;
        // `call` clashes are this call's own doing (one id twice): the next call tells which of them stands.
        if (result.status === 'conflict' && result.reason === 'call') queue.push(one);
        else one.resolve(result);
      });
    } catch (error) {
      const [first] = batch as [Waiting];
      if (batch.length === 1 && isLocked(error) && comesAgain(first)) return;
      if (batch.length === 1 || isConnectionLoss(error) || (isRetryable(error) && !isLocked(error))) {
        for (const one of batch) one.reject(error);
        return;
      }
      // One bad append must not poison the others: each goes alone and answers for itself.
      for (const one of batch) await send([one]);
    }
  }

  async function callWithRetry(batch: Waiting[]): Promise<AppendResult[]> {
    const started = performance.now();
    for (let attempt = 0; ; attempt += 1) {
      try {
        const bytes = batch.reduce((sum, one) => sum + one.bytes, 0);
        const results = await appendCall(
          bytes > batchBytes ? largePool : pool,
          batch.map((one) => one.encoded),
        );
        options.onCall?.({ appends: batch.length, bytes, seconds: (performance.now() - started) / 1000 });
        return results;
      } catch (error) {
        const passing = isConnectionLoss(error) || (isRetryable(error) && !isLocked(error));
        if (!passing || performance.now() - started > retryForMs) throw error;
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(400, 25 * 2 ** attempt) * (0.5 + Math.random() / 2)),
        );
      }
    }
  }

  return {
    append,
    appendWithin,
    get waiting() {
      return queue.length;
    },
    stop: async () => {
      stopped = true;
      while (inFlight || later.size > 0) await Promise.all([inFlight, ...later]);
    },
  };
}

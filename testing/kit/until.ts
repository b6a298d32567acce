/** Waiting for something to be so, instead of sleeping and hoping. */

/** Asks every few milliseconds; fails with `what` when the time is over. Returns the first value that counts as true. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 15_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + deadlineMs;
  let last: unknown;
  while (performance.now() < deadline) {
    last = await condition();
    if (last) return last as NonNullable<T>;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within ${deadlineMs} ms: ${what} (last: ${JSON.stringify(last)})`);
}

export type Latch = { promise: Promise<void>; release: () => void };

export function latch(): Latch {
  let release = () => {};
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { promise, release };
}

/** Resolves for all when the `n`th has come. */
export function barrier(n: number): () => Promise<void> {
  const open = latch();
  let waiting = 0;
  return () => {
    waiting += 1;
    if (waiting >= n) open.release();
    return open.promise;
  };
}

/**
 * Natural batching for any bulk operation: one call in flight, and what arrives meanwhile goes into the next. Every
 * caller gets its own item's result, or the batch's error.
 */
export function createGatherer<I, O>(run: (items: I[]) => Promise<O[]>, limit: number): (item: I) => Promise<O> {
  type Waiting = { item: I; resolve: (value: O) => void; reject: (error: unknown) => void };
  let queue: Waiting[] = [];
  let busy = false;

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.slice(0, limit);
      queue = queue.slice(limit);
      try {
        const results = await run(batch.map((one) => one.item));
        batch.forEach((one, i) => {
          one.resolve(results[i]!);
        });
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    busy = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (busy) return;
      busy = true;
      setImmediate(() => void drain());
    });
}

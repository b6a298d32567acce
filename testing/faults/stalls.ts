/** Whether this process's event loop turns. */

const LOOK_EVERY_MS = 50;

/** `onStall` is given how long it did not turn, `leastMs` or more. Returns how to stop watching. */
export function watchStalls(leastMs: number, onStall: (stalledMs: number) => void): () => void {
  let lookedAt = performance.now();
  const timer = setInterval(() => {
    const stalledMs = performance.now() - lookedAt - LOOK_EVERY_MS;
    lookedAt = performance.now();
    if (stalledMs >= leastMs) onStall(stalledMs);
  }, LOOK_EVERY_MS).unref();
  return () => clearInterval(timer);
}

/** Whoever opens something pushes its release; stopping runs them in reverse, within a time. */
export type Logger = Record<'info' | 'warn' | 'error', (o: object, m: string) => void>;

export type Lifecycle = {
  /** What comes after a stop has begun is released at once, and waited for by it as long as it has not ended. */
  push: (name: string, release: () => unknown) => void;
  /**
   * Idempotent. A release that fails or takes too long is logged and does not keep the others; resolves to the names of
   * those.
   */
  stop: () => Promise<string[]>;
};

export function createLifecycle(options: { graceSeconds: number; logger: Logger }): Lifecycle {
  const releases: { name: string; release: () => unknown }[] = [];
  let stopping: Promise<string[]> | null = null;
  let hasEnded = false;

  async function stopAll(): Promise<string[]> {
    const unclean: string[] = [];
    const deadline = performance.now() + options.graceSeconds * 1000;
    for (let next = releases.pop(); next; next = releases.pop()) {
      const { name, release } = next;
      const left = Math.max(100, deadline - performance.now());
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`did not stop within ${Math.round(left)} ms`)), left);
      });
      try {
        await Promise.race([release(), late]);
      } catch (error) {
        unclean.push(name);
        options.logger.error({ err: error, part: name }, 'stop: a part did not end cleanly');
      } finally {
        clearTimeout(timer);
      }
    }
    hasEnded = true;
    return unclean;
  }

  return {
    push: (name, release) => {
      releases.push({ name, release });
      if (hasEnded) void stopAll(); // by itself: nobody waits any more
    },
    stop: () => {
      stopping ??= stopAll();
      return stopping;
    },
  };
}

/**
 * Ctrl-C reaches every process of the terminal, and npm and run.mjs pass theirs on: what comes within this time is one
 * stop. Whoever means it presses again.
 */
const SAME_SIGNAL_MS = 400;

/** First SIGTERM or SIGINT: `announce`, stop, exit 0, or 1 when a part did not end cleanly. A later one: exit at once. */
export function stopOnSignal(lifecycle: Lifecycle, logger: Logger, announce = () => {}): void {
  let firstAt: number | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    if (firstAt !== null) {
      if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(130);
      return;
    }
    firstAt = performance.now();
    logger.info({ signal }, 'stopping');
    announce();
    lifecycle.stop().then(
      (unclean) => process.exit(unclean.length === 0 ? 0 : 1),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

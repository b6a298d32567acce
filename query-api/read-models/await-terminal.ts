/** Long polling without polling: whoever waits for a prompt's end hears of it from the one tailer. */
import type { Prompt } from '../../contracts/http/queries.ts';
import { isTerminal } from '../../contracts/prompt/state.ts';

export type Watch = (promptId: string, listener: (prompt: Prompt) => void) => () => void;

/**
 * The prompt when it has ended, or as it is when `ms` are over or `signal` aborts; null when there is none.
 * `find` is called once watching has begun, so that an end between the two is not missed.
 */
export async function awaitTerminal(
  promptId: string,
  ms: number,
  signal: AbortSignal,
  deps: { watch: Watch; find: () => Promise<Prompt | null> },
): Promise<Prompt | null> {
  let latest: Prompt | null = null;
  let wakeUp = () => {};
  const ended = new Promise<void>((resolve) => {
    wakeUp = resolve;
  });
  const unwatch = deps.watch(promptId, (prompt) => {
    latest = newer(latest, prompt);
    if (isTerminal(latest.status)) wakeUp();
  });
  const timer = setTimeout(wakeUp, ms);
  signal.addEventListener('abort', wakeUp, { once: true });
  try {
    const found = await deps.find();
    if (found === null) return null;
    latest = newer(latest, found);
    if (!isTerminal(latest.status) && !signal.aborted) await ended;
    return latest;
  } finally {
    unwatch();
    clearTimeout(timer);
    signal.removeEventListener('abort', wakeUp);
  }
}

const newer = (one: Prompt | null, other: Prompt): Prompt =>
  one !== null && one.position >= other.position ? one : other;

/**
 * Hints over pub/sub: "look again now". They may be lost or come twice; whoever waits for one also polls, and the
 * poll alone is always right.
 */
import type { RedisClient } from './connection.ts';

export type Hint =
  /** Rows of the outbox became ready: the relay looks. */
  | 'ready'
  /** The log grew: the projector looks. */
  | 'log'
  /** The projector's cursor moved: the live feed looks. */
  | 'read'
  /** Prompts were cancelled: workers ask for the fate of their leases. */
  | 'cancel'
  /** A rebuild was asked for, or got further: projectors and the live feed look. */
  | 'rebuild';

export type HintBus = {
  send: (hint: Hint) => void;
  /** Returns the unsubscription. */
  on: (hint: Hint, listener: () => void) => () => void;
  close: () => Promise<void>;
};

const PING_EVERY_MS = 5_000;

/** `publisher` is shared with others and left open; `subscriber` is this bus's own and closed with it. */
export function createHintBus(
  publisher: RedisClient,
  subscriber: RedisClient,
  onError: (error: unknown) => void,
  pingEveryMs = PING_EVERY_MS,
): HintBus {
  let isClosed = false;
  /** Closed on purpose, the connections take with them what is under way on them: nobody waits for a hint any more. */
  const lost = (error: unknown) => {
    if (!isClosed) onError(error);
  };
  const listeners = new Map<Hint, Set<() => void>>();
  const pending = new Set<Hint>();
  /** Not confirmed by Redis on the present connection. */
  const unheard = new Set<Hint>();

  function subscribeUnheard(): void {
    if (subscriber.status !== 'ready') return;
    for (const hint of unheard) {
      subscriber.subscribe(`hint:${hint}`).then(() => unheard.delete(hint), lost);
    }
  }
  // Redis may be away when we start, and for long; a new connection has heard of nothing.
  const subscribeAnew = () => {
    for (const hint of listeners.keys()) unheard.add(hint);
    subscribeUnheard();
  };
  subscriber.on('ready', subscribeAnew);
  // A subscriber only listens: without a word of its own it would not find out that nobody is there any more. A cluster's
  // changes its node without a word, so all is asked for again.
  const asking = setInterval(() => {
    subscriber.ping().catch(lost);
    if (subscriber.isCluster) subscribeAnew();
    else subscribeUnheard();
  }, pingEveryMs);

  subscriber.on('message', (channel: string) => {
    for (const listener of listeners.get(channel.slice('hint:'.length) as Hint) ?? []) listener();
  });

  return {
    send: (hint) => {
      // One turn's hints of a kind are one message.
      if (pending.has(hint)) return;
      pending.add(hint);
      setImmediate(() => {
        pending.delete(hint);
        publisher.publish(`hint:${hint}`, '').catch(lost);
      });
    },
    on: (hint, listener) => {
      const set = listeners.get(hint) ?? new Set();
      if (set.size === 0) {
        listeners.set(hint, set);
        unheard.add(hint);
        subscribeUnheard();
      }
      set.add(listener);
      return () => set.delete(listener);
    },
    close: async () => {
      isClosed = true;
      clearInterval(asking);
      subscriber.off('ready', subscribeAnew);
      listeners.clear();
      subscriber.disconnect();
    },
  };
}

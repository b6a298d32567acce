/** Who wants which event. Indexed by user and prompt, so an event costs its own subscribers only. */
import type { FeedEvent, FeedFrame } from './frame.ts';
import type { Topic } from './topic.ts';

export type Listener = (frame: FeedFrame) => void;

export type Hub = {
  size: () => number;
  /** Returns the removal, which may be called again. */
  add: (topic: Topic, listener: Listener) => () => void;
  wants: (event: FeedEvent) => boolean;
  /** To how many. */
  publish: (frame: FeedFrame) => number;
};

export function createHub(): Hub {
  const everything = new Set<Listener>();
  const users = new Map<string, Set<Listener>>();
  const prompts = new Map<string, Set<Listener>>();
  let size = 0;

  const place = (topic: Topic): { set: Set<Listener>; drop: () => void } => {
    if (topic.kind === 'all') return { set: everything, drop: () => {} };
    const [index, key] = topic.kind === 'user' ? [users, topic.userId] : [prompts, topic.promptId];
    const set = index.get(key) ?? new Set();
    index.set(key, set);
    return { set, drop: () => index.get(key) === set && index.delete(key) };
  };

  return {
    size: () => size,
    add: (topic, listener) => {
      const { set, drop } = place(topic);
      set.add(listener);
      size += 1;
      return () => {
        if (!set.delete(listener)) return;
        size -= 1;
        if (set.size === 0) drop();
      };
    },
    wants: (event) => everything.size > 0 || users.has(event.userId) || prompts.has(event.promptId),
    publish: (frame) => {
      let listeners = 0;
      for (const set of [everything, users.get(frame.userId), prompts.get(frame.promptId)]) {
        listeners += set?.size ?? 0;
        // A listener may remove itself while it is called; sets allow that.
        for (const listener of set ?? []) listener(frame);
      }
      return listeners;
    },
  };
}

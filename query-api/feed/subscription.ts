/**
 * One subscriber's way through the log: it catches up in pages, then goes live, without gap or repeat.
 *
 * It joins the hub before it reads, keeps what comes meanwhile, and sends that last. A subscriber whose socket does
 * not take what it is sent leaves the hub, and catches up again from where it stands once the socket has drained: what
 * it costs in memory is its socket's buffer, and no queue of its own.
 */
import type { FeedFrame } from './frame.ts';
import type { Topic } from './topic.ts';

/** A connection as a subscription sees it. */
export type Sink = {
  event: (frame: FeedFrame) => void;
  position: (position: number) => void;
  resync: (position: number) => void;
  /** Bytes written and not taken yet. */
  buffered: () => number;
};

export type SubscriptionSource = {
  frontier: () => number;
  published: () => number;
  join: (topic: Topic, listener: (frame: FeedFrame) => void) => () => void;
  /**
   * Events after `after`, oldest first, with the prompts as they are now; the page covers all up to its `upTo`. `archived`:
   * some of them may have left the log.
   */
  page: (topic: Topic, after: number, upTo: number) => Promise<{ frames: FeedFrame[]; upTo: number } | 'archived'>;
  isFarBehind: (topic: Topic, after: number, upTo: number) => Promise<boolean>;
  /** `after` is a position that the log has not given: the client speaks of another log. */
  isBeyondLog: (after: number) => Promise<boolean>;
  onError: (error: unknown) => void;
};

export type Subscription = {
  /** Replaces the former topic. Nothing at or before the last position sent is sent again. */
  subscribe: (topic: Topic, after: number | null) => void;
  /** Some of what comes may not come by the hub: it is read, from where the client stands. */
  catchUp: () => void;
  /** Goes on after a stall when the socket has drained; called a few times a second. */
  resume: (now: number) => void;
  /** Tells a quiet client how far the feed is; called every quarter of a minute. */
  announce: () => void;
  backlog: () => { bytes: number; stalled: boolean };
  stop: () => void;
};

/** Over this the client is slow; it goes on when half has drained. */
export const BUFFER_LIMIT = 1024 * 1024;
/** Frames kept while a page is read; with more, another page comes first. */
const MEANWHILE_LIMIT = 256;
const RETRY_MS = 1_000;

type Mode = 'idle' | 'catching-up' | 'live' | 'stalled';

/** `start`: the position that the client was greeted with. */
export function createSubscription(source: SubscriptionSource, sink: Sink, start: number): Subscription {
  let mode: Mode = 'idle';
  let topic: Topic = { kind: 'all' };
  /** All of the topic up to here was sent. */
  let passed = start;
  /** The last position put on the connection by an event, position or resync frame. */
  let sent = 0;
  /** Counts changes of course, so that a page read for a former one is dropped. */
  let course = 0;
  let leave = () => {};
  let meanwhile: FeedFrame[] = [];
  let overflown = false;
  let notBefore = 0;

  const emit = (frame: FeedFrame) => {
    if (frame.position <= passed) return;
    sink.event(frame);
    passed = frame.position;
    sent = passed;
  };

  const stall = () => {
    leave();
    meanwhile = [];
    course += 1;
    mode = 'stalled';
  };

  const listen = (frame: FeedFrame) => {
    if (mode === 'live') {
      if (sink.buffered() > BUFFER_LIMIT) stall();
      else emit(frame);
    } else if (meanwhile.length < MEANWHILE_LIMIT) meanwhile.push(frame);
    else overflown = true;
  };

  /** Sends pages up to `upTo`; false when the course changed or the socket is full. */
  const sendPages = async (mine: number, upTo: number): Promise<boolean> => {
    while (passed < upTo) {
      const page = await source.page(topic, passed, upTo);
      if (mine !== course) return false;
      if (page === 'archived') {
        resync(upTo);
        return true;
      }
      for (const frame of page.frames) {
        if (sink.buffered() > BUFFER_LIMIT) {
          stall();
          return false;
        }
        emit(frame);
      }
      passed = page.upTo;
    }
    return true;
  };

  const resync = (position: number) => {
    passed = Math.max(position, sent);
    if (position <= sent) return; // what this connection was sent is of this log: nothing to read again
    sink.resync(position);
    sent = position;
  };

  const catchUp = async (mine: number) => {
    for (;;) {
      leave();
      meanwhile = [];
      overflown = false;
      const upTo = source.frontier();
      leave = source.join(topic, listen);
      if (passed < upTo) {
        const far = await source.isFarBehind(topic, passed, upTo);
        if (mine !== course) return;
        if (far) resync(upTo);
        else if (!(await sendPages(mine, upTo))) return;
      } else if (passed > upTo) {
        // This instance is behind the one that the client knew: frames up to `passed` are not sent.
        const beyond = await source.isBeyondLog(passed);
        if (mine !== course) return;
        if (beyond) resync(upTo);
      }
      if (!overflown) break;
    }
    const kept = meanwhile;
    meanwhile = [];
    mode = 'live';
    for (const frame of kept) if (mode === 'live') listen(frame);
  };

  const begin = () => {
    course += 1;
    mode = 'catching-up';
    const mine = course;
    catchUp(mine).catch((error) => {
      if (mine !== course) return;
      source.onError(error);
      stall();
      notBefore = performance.now() + RETRY_MS;
    });
  };

  return {
    subscribe: (wanted, after) => {
      topic = wanted;
      passed = Math.max(after ?? passed, sent);
      notBefore = 0;
      begin();
    },
    catchUp: () => {
      if (mode === 'live' || mode === 'catching-up') begin();
    },
    resume: (now) => {
      if (mode === 'stalled' && now >= notBefore && sink.buffered() < BUFFER_LIMIT / 2) begin();
    },
    announce: () => {
      const position = source.published();
      if (mode !== 'live' || position <= passed) return;
      sink.position(position);
      passed = position;
      sent = position;
    },
    backlog: () => ({ bytes: sink.buffered(), stalled: mode === 'stalled' }),
    stop: () => {
      leave();
      meanwhile = [];
      course += 1;
      mode = 'idle';
    },
  };
}

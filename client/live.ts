/** The live feed over WebSocket, reconnecting and resuming by itself: no event is missed, none comes twice. */
import type { ServerFrame } from '../contracts/feed/frames.ts';
import { SUBPROTOCOL, TICKET_PREFIX } from '../contracts/feed/subprotocol.ts';

export type LiveOptions = {
  /** `http(s)://…`; the socket's address is made from it. */
  baseUrl: string;
  /** A fresh single-use ticket for every connection. */
  ticket: () => Promise<string>;
  /** Start after this position; absent: from now on. */
  after?: number;
  promptId?: string;
  /** Of kinds that this release does not know, too: look at `type` before anything else. */
  onFrame: (frame: ServerFrame) => void;
  onState: (state: 'connecting' | 'live' | 'waiting', detail?: string) => void;
};

export type Live = { close: () => void };

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

export function openLive(options: LiveOptions): Live {
  let after = options.after;
  let socket: WebSocket | null = null;
  let closed = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function connect(): Promise<void> {
    options.onState('connecting');
    try {
      const url = new URL('/live', options.baseUrl);
      url.protocol = url.protocol.replace('http', 'ws');
      const ticket = await options.ticket();
      if (closed) return;
      socket = new WebSocket(url, [SUBPROTOCOL, TICKET_PREFIX + ticket]);
    } catch (error) {
      again(error instanceof Error ? error.message : String(error));
      return;
    }
    socket.onopen = () => {
      const { promptId } = options;
      socket?.send(
        JSON.stringify({ type: 'subscribe', ...(after !== undefined && { after }), ...(promptId && { promptId }) }),
      );
      options.onState('live');
    };
    socket.onmessage = (message) => {
      failures = 0;
      const frame = JSON.parse(String(message.data)) as ServerFrame;
      // `hello` tells where the server stands, which is where a first subscription begins; a resumed one has its own.
      if (frame.type === 'hello') after ??= frame.position;
      else if (frame.type === 'event' || frame.type === 'position' || frame.type === 'resync') after = frame.position;
      options.onFrame(frame);
    };
    socket.onclose = (event) => again(`closed (${event.code}${event.reason ? `: ${event.reason}` : ''})`);
  }

  /** Full jitter: a thousand clients of one restarted server must not come back at once. */
  function again(why: string): void {
    if (closed) return;
    const pauseMs = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    failures += 1;
    options.onState('waiting', why);
    timer = setTimeout(() => void connect(), pauseMs);
  }

  void connect();
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      socket?.close(1000);
    },
  };
}

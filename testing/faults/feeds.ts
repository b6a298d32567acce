/** One live connection per user, opened again where it ended; everything it was sent is kept. */
import { WebSocket } from 'ws';
import { SUBPROTOCOL } from '../../contracts/feed/subprotocol.ts';
import type { Random } from '../kit/random.ts';
import type { FeedConnection } from './evidence.ts';
import type { Fleet } from './fleet.ts';
import { canariesIn } from './requests.ts';

export type Feeds = {
  connections: FeedConnection[];
  /** Of connections that were never opened: why. */
  refused: string[];
  /** The last position that the user's newest connection was sent. */
  seen: (user: string) => number;
  close: () => void;
};

export type Frame = {
  type: FeedConnection['frames'][number]['type'];
  position?: number;
  promptId?: string;
  prompt?: { status: string; userId: string };
};

export const toFrame = (frame: Frame, text: string): FeedConnection['frames'][number] => ({
  type: frame.type,
  position: frame.position ?? null,
  promptId: frame.promptId ?? null,
  status: frame.prompt?.status ?? null,
  canariesOf: canariesIn(text),
});

export function openFeeds(
  fleet: Fleet,
  random: Random,
  onFailed: (user: string, promptId: string) => void,
  gateway: string | null = null,
): Feeds {
  const connections: FeedConnection[] = [];
  const refused: string[] = [];
  const newest = new Map<string, { seen: number; socket: WebSocket | null }>();
  let closed = false;

  function follow(user: Fleet['users'][number], after: number | null): void {
    if (closed) return;
    const connection: FeedConnection = { user: user.name, isAdmin: user.isAdmin, after, brief: false, frames: [] };
    const state = { seen: after ?? 0, socket: null as WebSocket | null };
    newest.set(user.name, state);
    const url = `${(gateway ?? random.pick(fleet.queryApis)).replace('http', 'ws')}/live`;
    const socket = new WebSocket(url, [SUBPROTOCOL], { headers: { authorization: `Bearer ${user.key}` } });
    state.socket = socket;
    let opened = false;
    let begun = false;
    socket.on('open', () => {
      opened = true;
      connections.push(connection);
      socket.send(JSON.stringify({ type: 'subscribe', ...(after !== null && { after }) }));
    });
    socket.on('message', (data) => {
      const text = String(data);
      const frame = JSON.parse(text) as Frame;
      connection.frames.push(toFrame(frame, text));
      if (frame.type === 'hello' && after === null && !begun) state.seen = frame.position ?? 0;
      else if (frame.type !== 'hello' && frame.position !== undefined) state.seen = frame.position;
      begun = true;
      if (frame.prompt?.status === 'failed' && frame.promptId && !user.isAdmin) onFailed(user.name, frame.promptId);
    });
    socket.on('error', ({ message }) => {
      if (!opened && !closed) refused.push(`${new Date().toISOString()} ${user.name}: ${message}`);
    }); // 'close' follows
    // A server that was killed sends no close; one that hangs sends nothing at all.
    socket.on('close', () =>
      setTimeout(() => follow(user, begun || after !== null ? state.seen : null), random.between(50, 500)),
    );
  }

  for (const user of fleet.users) follow(user, null);
  return {
    connections,
    refused,
    seen: (user) => newest.get(user)?.seen ?? 0,
    close: () => {
      closed = true;
      for (const { socket } of newest.values()) socket?.terminate();
    },
  };
}

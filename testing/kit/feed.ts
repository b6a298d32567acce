/** A subscriber that keeps every frame it was sent. */
import { WebSocket } from 'ws';
import type { EventFrame, ServerFrame } from '../../contracts/feed/frames.ts';
import { SUBPROTOCOL } from '../../contracts/feed/subprotocol.ts';
import { until } from './until.ts';

export type Subscriber = {
  frames: ServerFrame[];
  events: () => EventFrame[];
  socket: WebSocket;
  closed: () => { code: number; reason: string } | null;
  /** The first event frame that satisfies the condition. */
  event: (what: string, condition: (frame: EventFrame) => boolean) => Promise<EventFrame>;
  close: () => void;
};

export async function subscribe(
  address: string,
  key: string,
  options: { after?: number; promptId?: string } = {},
): Promise<Subscriber> {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/live`, [SUBPROTOCOL], {
    headers: { authorization: `Bearer ${key}` },
  });
  const frames: ServerFrame[] = [];
  let closed: { code: number; reason: string } | null = null;
  socket.on('message', (data) => frames.push(JSON.parse(data.toString()) as ServerFrame));
  socket.on('close', (code, reason) => {
    closed = { code, reason: reason.toString() };
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  socket.send(JSON.stringify({ type: 'subscribe', ...options }));
  await until('the feed says hello', () => frames.some((frame) => frame.type === 'hello'));
  const events = () => frames.filter((frame): frame is EventFrame => frame.type === 'event');
  return {
    frames,
    events,
    socket,
    closed: () => closed,
    event: (what, condition) => until(what, () => events().find(condition)),
    close: () => socket.close(),
  };
}

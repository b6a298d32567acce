/** The feed's doors: a WebSocket, an event stream, and tickets for browsers. */
import websocket from '@fastify/websocket';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { WebSocket } from 'ws';
import { SubscribeFrame } from '../../contracts/feed/frames.ts';
import { SUBPROTOCOL } from '../../contracts/feed/subprotocol.ts';
import { Position, Uuid } from '../../contracts/http/scalars.ts';
import { authenticate, NoQuery, timeLeft } from '../../platform/http/authenticate.ts';
import { refuseOn } from '../../platform/http/parser-errors.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { validator } from '../../platform/http/validation.ts';
import type { KeyHolder, VerifyKey } from '../../platform/postgres/api-keys.ts';
import type { RedisClient } from '../../platform/redis/connection.ts';
import { within } from '../../platform/within.ts';
import type { Feed } from '../feed/feed.ts';
import { toSse } from '../feed/frame.ts';
import type { Sessions } from '../feed/sessions.ts';
import { issueTicket, TICKET_SECONDS } from '../feed/tickets.ts';
import type { Topic } from '../feed/topic.ts';
import type { PromptReader } from '../read-models/prompt-reader.ts';
import { authenticateLive } from './live-credential.ts';

/** A client's frame names at most a prompt and a position. */
const MAX_CLIENT_FRAME = 4_096;
/** Subscriptions of one socket that wait for their turn. */
const MOST_WAITING = 8;
const PING_MS = 15_000;
const GOODBYE_MS = 1_000;
const CLOSE = { badFrame: 1007, policy: 1008, goingAway: 1001, revoked: 4401, notFound: 4404 } as const;

export type LiveDeps = {
  feed: Feed;
  reader: PromptReader;
  sessions: Sessions;
  redis: RedisClient;
  verifyKey: VerifyKey;
  /** A socket that is silent for two of these is ended. */
  pingMs?: number;
};

export async function liveRoutes(instance: FastifyInstance, parts: LiveDeps): Promise<void> {
  const server = instance as unknown as Server;
  const { feed, reader, sessions, redis, verifyKey, pingMs = PING_MS } = parts;
  const sockets = new Map<WebSocket, { alive: boolean; buffered: number }>();
  const streams = new Set<() => void>();
  /** Goodbye was said: whoever still comes before the server takes nobody any more would hold its end up. */
  let closing = false;

  await server.register(websocket, {
    options: {
      maxPayload: MAX_CLIENT_FRAME,
      handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    },
    preClose: async () => {
      closing = true;
      for (const end of streams) end();
      await closeAll([...sockets.keys()]);
    },
  });

  feed.onRewound(() => {
    for (const end of streams) end();
    for (const socket of sockets.keys()) socket.close(CLOSE.goingAway, 'the log has lost its end; connect again');
  });

  const heartbeat = setInterval(() => {
    for (const [socket, state] of sockets) {
      // A pong waits behind what was sent before it: a socket that still takes data is slow, not dead.
      const moved = socket.bufferedAmount < state.buffered;
      if (!state.alive && !moved) socket.terminate();
      state.alive = false;
      state.buffered = socket.bufferedAmount;
      socket.ping();
    }
  }, pingMs);
  // A handshake that is none: ws itself would answer with a page of its own.
  instance.websocketServer.on('wsClientError', (error, socket) => refuseOn(socket, 'invalid_request', error.message));
  server.addHook('onClose', async () => clearInterval(heartbeat));

  /** Null: there is no such prompt, or it is another user's. */
  async function topicOf(principal: KeyHolder, promptId: string | undefined): Promise<Topic | null> {
    if (promptId === undefined)
      return principal.role === 'admin' ? { kind: 'all' } : { kind: 'user', userId: principal.userId };
    const found = await reader.find(promptId.toLowerCase());
    const own = found && (found.prompt.userId === principal.userId || principal.role === 'admin');
    return own ? { kind: 'prompt', promptId: found.prompt.id } : null;
  }

  server.route({
    method: 'GET',
    url: '/live',
    schema: { hide: true },
    onRequest: authenticateLive(verifyKey, redis),
    handler: async () => {
      throw problem('invalid_request', {
        detail: 'connect to this address as a WebSocket; /live/events is for others',
      });
    },
    wsHandler: (socket, request) => {
      const { principal } = request;
      socket.on('error', (error) => request.log.debug({ err: error }, 'live: a socket failed'));
      if (closing) {
        void closeAll([socket]);
        return;
      }
      const start = feed.position();
      const send = (frame: object) => socket.send(JSON.stringify(frame));
      const connection = feed.connect(
        {
          event: (frame) => socket.send(frame.json(), { binary: false }),
          position: (position) => send({ type: 'position', position }),
          resync: (position) => send({ type: 'resync', position }),
          rebuild: (json) => socket.send(json),
          buffered: () => socket.bufferedAmount,
        },
        start,
      );
      const state = { alive: true, buffered: 0 };
      sockets.set(socket, state);
      const endSession = sessions.add(principal.keyId, () => socket.close(CLOSE.revoked, 'the key is no longer valid'));
      socket.on('pong', () => {
        state.alive = true;
      });
      socket.on('close', () => {
        sockets.delete(socket);
        endSession();
        connection.close();
      });
      // One after the other: of two quick subscriptions the second must win.
      let subscribing = Promise.resolve();
      let waiting = 0;
      socket.on('message', (data, isBinary) => {
        const parsed = isBinary ? null : parseFrame(data.toString());
        if (!parsed) {
          socket.close(CLOSE.badFrame, 'expected JSON text');
          return;
        }
        if (!isSubscribe(parsed.value) || waiting >= MOST_WAITING) {
          socket.close(CLOSE.policy, 'expected { "type": "subscribe", "after"?, "promptId"?, "deltas"? }');
          return;
        }
        const frame = parsed.value;
        waiting += 1;
        subscribing = subscribing
          .then(() => change(frame))
          .finally(() => {
            waiting -= 1;
          });
      });
      const change = async (frame: SubscribeFrame): Promise<void> => {
        try {
          const topic = await topicOf(principal, frame.promptId);
          // The client may have left meanwhile: whoever joins after its close would never be removed.
          if (socket.readyState !== socket.OPEN) return;
          if (topic) connection.subscribe(topic, frame.after ?? null);
          else socket.close(CLOSE.notFound, 'there is no such prompt');
        } catch (error) {
          request.log.warn({ err: error }, 'live: a subscription failed');
          socket.close(CLOSE.goingAway, 'the prompt could not be read; connect again');
        }
      };
      send({ type: 'hello', position: start });
    },
  });

  server.get(
    '/live/events',
    {
      onRequest: authenticate(verifyKey),
      schema: {
        summary: 'The live feed as server-sent events; resumes after Last-Event-ID',
        tags: ['live'],
        querystring: Type.Object(
          { after: Type.Optional(Position), promptId: Type.Optional(Uuid) },
          { additionalProperties: false },
        ),
      },
    },
    async (request, reply) => {
      const { principal, query } = request;
      const after = lastEventId(request.headers['last-event-id']) ?? query.after ?? null;
      const topic = await topicOf(principal, query.promptId);
      if (!topic) throw problem('not_found', { detail: 'there is no such prompt' });
      if (reply.raw.destroyed) return reply;
      if (closing) throw problem('unavailable', { detail: 'the service stops; connect again' });
      const start = feed.position();
      const { raw } = reply;
      reply.hijack();
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-request-id': request.id,
        'x-accel-buffering': 'no',
      });
      const send = (frame: object, id: number | null) => raw.write(toSse(JSON.stringify(frame), id));
      const connection = feed.connect(
        {
          event: (frame) => raw.write(frame.sse()),
          position: (position) => send({ type: 'position', position }, position),
          resync: (position) => send({ type: 'resync', position }, position),
          rebuild: (json) => raw.write(toSse(json, null)),
          buffered: () => raw.writableLength,
        },
        start,
      );
      const end = () => raw.end();
      const endSession = sessions.add(principal.keyId, end);
      let backlog = 0;
      const beat = setInterval(() => {
        // Nothing was taken since the last beat, and something waits: the client is gone or stuck.
        if (backlog > 0 && raw.writableLength >= backlog) raw.destroy();
        else raw.write(': still here\n\n');
        backlog = raw.writableLength;
      }, PING_MS);
      streams.add(end);
      raw.on('error', (error) => request.log.debug({ err: error }, 'live: a stream failed'));
      raw.on('close', () => {
        clearInterval(beat);
        streams.delete(end);
        endSession();
        connection.close();
      });
      // With an id: a client that loses the connection before the first event resumes from here.
      send({ type: 'hello', position: start }, after ?? start);
      connection.subscribe(topic, after);
    },
  );

  server.post(
    '/live/tickets',
    {
      onRequest: authenticate(verifyKey),
      schema: {
        summary: `A ticket for one WebSocket, good for ${TICKET_SECONDS} seconds`,
        tags: ['live'],
        querystring: NoQuery,
        response: { 200: Type.Object({ ticket: Type.String() }) },
      },
    },
    async (request) => {
      try {
        return { ticket: await within(timeLeft(request), issueTicket(redis, request.principal)) };
      } catch (error) {
        request.log.warn({ err: error }, 'live: a ticket could not be kept');
        throw problem('unavailable', { detail: 'tickets cannot be made right now' });
      }
    },
  );
}

/** Says goodbye to all; whoever has not answered after a second is cut, so that nobody's silence delays a stop. */
async function closeAll(sockets: WebSocket[]): Promise<void> {
  const closed = sockets.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
  for (const socket of sockets) socket.close(CLOSE.goingAway, 'the service stops; connect again');
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.terminate();
  }, GOODBYE_MS);
  await Promise.all(closed);
  clearTimeout(cut);
}

const isSubscribe = validator(SubscribeFrame);

/** Null for what is not JSON. */
function parseFrame(text: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function lastEventId(header: string | string[] | undefined): number | null {
  if (header === undefined || header === '') return null;
  const position = Number(header);
  if (!/^\d+$/.test(String(header)) || !Number.isSafeInteger(position)) {
    throw problem('invalid_request', { errors: [{ pointer: 'Last-Event-ID', message: 'must be a position' }] });
  }
  return position;
}

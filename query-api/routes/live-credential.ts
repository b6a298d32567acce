/** Who connects to the feed: by key, or by a ticket offered as a subprotocol, since a browser's socket sends no headers. */
import type { FastifyRequest } from 'fastify';
import { TICKET_PREFIX } from '../../contracts/feed/subprotocol.ts';
import { bearerToken } from '../../platform/http/authenticate.ts';
import { problem } from '../../platform/http/problem.ts';
import type { VerifyKey } from '../../platform/postgres/api-keys.ts';
import type { RedisClient } from '../../platform/redis/connection.ts';
import { takeTicket } from '../feed/tickets.ts';

export function authenticateLive(verify: VerifyKey, redis: RedisClient): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    const ticket = offered.find((name) => name.startsWith(TICKET_PREFIX))?.slice(TICKET_PREFIX.length);
    const holder = token ? await verify(token) : ticket ? await redeem(redis, ticket) : null;
    if (!holder)
      throw problem('unauthenticated', { detail: 'send Authorization: Bearer <api key>, or a fresh ticket' });
    request.principal = holder;
  };
}

async function redeem(redis: RedisClient, ticket: string) {
  try {
    return await takeTicket(redis, ticket);
  } catch (error) {
    throw problem('unavailable', { detail: `tickets cannot be checked right now: ${(error as Error).name}` });
  }
}

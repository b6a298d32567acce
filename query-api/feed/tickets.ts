/** Tickets stand in for the key where a browser cannot send a header. Kept in Redis, so that any replica takes them. */
import { createHash, randomBytes } from 'node:crypto';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import type { RedisClient } from '../../platform/redis/connection.ts';

export const TICKET_SECONDS = 30;
const SHAPE = /^[A-Za-z0-9_-]{43}$/;

/** Only a hash is kept: whoever reads Redis gets in nowhere with it. */
const keyOf = (ticket: string): string => `live:ticket:${createHash('sha256').update(ticket).digest('base64url')}`;

/** Rejects while Redis is away. */
export async function issueTicket(redis: RedisClient, holder: KeyHolder): Promise<string> {
  const ticket = randomBytes(32).toString('base64url');
  await redis.set(keyOf(ticket), JSON.stringify(holder), 'EX', TICKET_SECONDS);
  return ticket;
}

/** Null for a ticket that was used, ran out or never was. GETDEL makes the first taker the only one. */
export async function takeTicket(redis: RedisClient, ticket: string): Promise<KeyHolder | null> {
  if (!SHAPE.test(ticket)) return null;
  const holder = await redis.getdel(keyOf(ticket));
  return holder === null ? null : (JSON.parse(holder) as KeyHolder);
}

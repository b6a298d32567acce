import type { FastifyReply } from 'fastify';

/** Aborts when the client leaves before it was answered: nobody waits for it any longer. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

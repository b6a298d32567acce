import type { FastifyRequest } from 'fastify';
import { Accepted, AskBody } from '../../contracts/http/commands.ts';
import { timeLeft } from '../../platform/http/authenticate.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import type { AcceptPrompt } from '../accept-prompt.ts';
import { parseIdempotencyKey } from '../ask-rules.ts';

export function askRoute(server: Server, accept: AcceptPrompt): void {
  server.post(
    '/ask',
    {
      schema: {
        summary: 'Send a prompt; the answer comes over the live feed and GET /prompts/{id}',
        tags: ['commands'],
        body: AskBody,
        response: { 202: Accepted },
      },
    },
    async (request, reply) => {
      const result = await accept(request.body, {
        userId: request.principal.userId,
        requestId: request.id,
        traceparent: request.traceparent,
        withinMs: timeLeft(request),
        idempotency: idempotencyOf(request),
      });
      switch (result.status) {
        case 'refused':
          throw problem(result.code, { errors: result.errors, detail: describe(result.errors) });
        case 'key_reused':
          throw problem('idempotency_key_reused', { detail: 'this key was sent before with another body' });
        case 'accepted':
          if (result.replayed) reply.header('idempotency-replayed', 'true');
          return reply
            .code(202)
            .header('location', `/prompts/${result.accepted.id}`)
            .header('retry-after', '1')
            .send(result.accepted);
      }
    },
  );
}

const describe = (errors: { pointer: string; message: string }[]): string =>
  errors.map(({ pointer, message }) => `${pointer} ${message}`).join('; ');

function idempotencyOf(request: FastifyRequest): { key: string; body: Buffer } | null {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return null;
  const key = typeof header === 'string' ? parseIdempotencyKey(header) : null;
  if (!key || !request.rawBody) {
    const errors = [{ pointer: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }];
    throw problem('invalid_request', { errors });
  }
  return { key, body: request.rawBody };
}

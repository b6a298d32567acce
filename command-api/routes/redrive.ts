import type { Static } from '@sinclair/typebox';
import { BulkRetryAccepted, BulkRetryBody } from '../../contracts/http/commands.ts';
import { timeLeft } from '../../platform/http/authenticate.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import { toUtc } from '../../platform/postgres/utc-time.ts';
import type { FailedFilter } from '../failed-prompts.ts';
import type { Redrive } from '../redrive.ts';

const DEFAULT_LIMIT = 1_000;

export function redriveRoute(server: Server, redrive: Redrive): void {
  server.post(
    '/prompts/retry',
    {
      schema: {
        summary: 'Send failed prompts again, all that a filter matches, and keep the reason',
        tags: ['commands'],
        body: BulkRetryBody,
        response: { 202: BulkRetryAccepted },
      },
    },
    async (request, reply) => {
      const { filter, reason, limit = DEFAULT_LIMIT, dryRun = false } = request.body;
      const { userId, role } = request.principal;
      const by = {
        userId,
        isAdmin: role === 'admin',
        requestId: request.id,
        traceparent: request.traceparent,
        withinMs: timeLeft(request),
      };
      const wanted = { filter: filterOf(filter, request.principal), reason, limit, dryRun };
      return reply.code(202).send(await redrive(by, wanted));
    },
  );
}

/** A user's own, an admin's everybody's unless one is named. */
function filterOf(given: Static<typeof BulkRetryBody>['filter'], who: KeyHolder): FailedFilter {
  const isAdmin = who.role === 'admin';
  if (given.userId !== undefined && !isAdmin) throw invalidField('userId', 'is for admins');
  return {
    userId: isAdmin ? (given.userId ?? null) : who.userId,
    model: given.model ?? null,
    code: given.code ?? null,
    conversationId: given.conversationId ?? null,
    from: timeOf('from', given.from),
    to: timeOf('to', given.to),
  };
}

function timeOf(name: 'from' | 'to', given: string | undefined): string | null {
  if (given === undefined) return null;
  const time = toUtc(given);
  if (time === null) throw invalidField(name, 'is no moment in time');
  return time;
}

const invalidField = (name: string, message: string) =>
  problem('invalid_request', { errors: [{ pointer: `/filter/${name}`, message }] });

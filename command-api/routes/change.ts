import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import {
  CancelAccepted,
  CancelBody,
  CostBody,
  CostCorrected,
  RetryAccepted,
  RetryBody,
} from '../../contracts/http/commands.ts';
import { Uuid } from '../../contracts/http/scalars.ts';
import { adminsOnly, timeLeft } from '../../platform/http/authenticate.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { type ChangeContext, type ChangePrompt, type ChangeResult, refusalCode } from '../change-prompt.ts';

const Params = Type.Object({ id: Uuid });
/** Parameters are text: nothing is coerced. */
const AttemptParams = Type.Object({ id: Uuid, attempt: Type.String({ pattern: '^[1-9][0-9]{0,5}$' }) });

export type ChangeRouteOptions = {
  change: ChangePrompt;
  /** A running call may have to stop. */
  onCancelled: (model: string) => void;
  onRequeued: () => void;
  onCorrected: () => void;
};

export function changeRoutes(
  server: Server,
  { change, onCancelled, onRequeued, onCorrected }: ChangeRouteOptions,
): void {
  server.post(
    '/prompts/:id/cancel',
    {
      schema: {
        summary: 'Cancel a prompt; a running call is told to stop, what it cost is recorded',
        tags: ['commands'],
        params: Params,
        body: Type.Union([CancelBody, Type.Null()]),
        response: { 202: CancelAccepted },
      },
    },
    async (request, reply) => {
      const done = expectDone(await change.cancel(contextOf(request, request.params.id)));
      onCancelled(done.state.model);
      return reply.code(202).send({ id: request.params.id, status: 'cancelled', position: done.position });
    },
  );

  server.post(
    '/prompts/:id/retry',
    {
      schema: {
        summary: 'Send a failed prompt again, with a full budget of attempts',
        tags: ['commands'],
        params: Params,
        body: Type.Union([RetryBody, Type.Null()]),
        response: { 202: RetryAccepted },
      },
    },
    async (request, reply) => {
      const done = expectDone(await change.retry(contextOf(request, request.params.id), request.body?.reason ?? null));
      onRequeued();
      const { generation } = done.state;
      return reply
        .code(202)
        .send({ id: request.params.id, status: 'queued', position: done.position, generation: generation + 1 });
    },
  );

  server.put(
    '/prompts/:id/attempts/:attempt/cost',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Correct what an attempt cost, once it has ended; the same amount again changes nothing (admins)',
        tags: ['operations'],
        params: AttemptParams,
        body: CostBody,
        response: { 200: CostCorrected },
      },
    },
    async (request) => {
      const { id } = request.params;
      const attempt = Number(request.params.attempt);
      const { nanoUsd, reason } = request.body;
      const result = await change.correctCost(contextOf(request, id), { attempt, nanoUsd, reason });
      if (result.status === 'wrong_state' && result.reason === 'unknown_attempt')
        throw problem('not_found', { detail: 'there is no such attempt' });
      if (result.status === 'wrong_state' && result.reason === 'recorded')
        return { id, attempt, nanoUsd, position: result.state.position };
      const { position } = expectDone(result);
      onCorrected();
      return { id, attempt, nanoUsd, position };
    },
  );
}

const contextOf = (request: FastifyRequest, promptId: string): ChangeContext => ({
  promptId: promptId.toLowerCase(),
  userId: request.principal.userId,
  isAdmin: request.principal.role === 'admin',
  requestId: request.id,
  traceparent: request.traceparent,
  withinMs: timeLeft(request),
});

function expectDone(result: ChangeResult): Extract<ChangeResult, { status: 'done' }> {
  if (result.status === 'done') return result;
  throw problem(refusalCode(result), { detail: detailOf(result) });
}

function detailOf(result: Exclude<ChangeResult, { status: 'done' }>): string {
  switch (result.status) {
    case 'not_found':
      return 'there is no such prompt';
    case 'wrong_state': {
      const { expiresAt, status } = result.state;
      if (result.reason === 'running') return 'the attempt has not ended';
      return result.reason === 'expired' ? `it expired at ${expiresAt}` : `the prompt is ${status}`;
    }
    case 'archived': {
      if (result.reason === 'archived') return 'the prompt’s events are archived: what it cost stays as it is';
      return result.reason === 'expired' ? 'it has expired' : `the prompt is ${result.is}`;
    }
    case 'contended':
      return 'the prompt is changing too fast right now';
  }
}

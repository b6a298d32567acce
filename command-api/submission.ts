/** From a valid ask body to the one append that accepts it. */
import { createHmac } from 'node:crypto';
import type { AskBody } from '../contracts/http/commands.ts';
import type { EventData } from '../contracts/prompt/events.ts';
import { deriveSubmissionId, newId } from '../platform/ids.ts';
import type { Append } from '../platform/postgres/append.ts';
import { laneNumber } from '../platform/postgres/decision.ts';

export type SubmissionContext = {
  userId: string;
  requestId: string;
  traceparent: string | null;
  /** Milliseconds in which it must be answered. */
  withinMs: number;
  /** With the request's Idempotency-Key: the key, and the body's bytes as they were sent. */
  idempotency: { key: string; body: Buffer } | null;
};

export type CostBound = { nanoUsd: number | null; priceVersion: string };

/** The only tenant while a deployment serves one. */
const TENANT = 'default';

/** Keyed, so that the log's reader cannot test guesses of a body against it. */
export const bodyHash = (secret: Buffer, body: Buffer): string =>
  createHmac('sha256', secret).update(body).digest('base64url');

export function toSubmission(
  body: AskBody,
  model: string,
  bound: CostBound,
  context: SubmissionContext,
  secret: Buffer,
): Append {
  const { userId, idempotency, requestId, traceparent } = context;
  const notBefore = toUtc(body.notBefore);
  const expiresAt = toUtc(body.expiresAt);
  const lane = body.lane ?? 'normal';
  const data: EventData<'PromptSubmitted'> = {
    userId,
    model,
    prompt: body.prompt,
    system: body.system ?? null,
    temperature: body.temperature ?? null,
    maxOutputTokens: body.maxOutputTokens ?? null,
    mode: 'answer',
    lane,
    retry: body.retry ?? 'auto',
    conversationId: body.conversationId ?? null,
    notBefore,
    expiresAt,
    metadata: body.metadata ?? {},
    costBound: bound.nanoUsd,
    priceVersion: bound.nanoUsd === null ? null : bound.priceVersion,
  };
  const metadata = {
    correlationId: requestId,
    causationId: requestId,
    traceparent,
    actor: `user:${userId}`,
    ...(idempotency ? { bodyHash: bodyHash(secret, idempotency.body) } : {}),
  };
  const eventId = idempotency ? keyedSubmissionId(userId, idempotency.key) : newId();
  return {
    streamId: newId(),
    expectedVersion: 0,
    events: [{ eventId, type: 'PromptSubmitted', data, metadata }],
    outbox: {
      op: 'open',
      user: userId,
      model,
      lane: laneNumber(lane),
      due: notBefore,
      expires: expiresAt,
      unexpired: true,
      trace: traceparent,
    },
  };
}

/** Of the event that an ask with this key is, however often it is sent. */
export const keyedSubmissionId = (userId: string, key: string): string =>
  deriveSubmissionId(TENANT, userId, 'POST /ask', key);

const toUtc = (time: string | undefined): string | null => (time === undefined ? null : new Date(time).toISOString());

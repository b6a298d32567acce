/** Errors on their way to an RFC 9457 body. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type HttpErrorCode, httpErrors } from '../../contracts/errors.ts';
import type { Problem } from '../../contracts/http/problem.ts';
import { UnknownEventError } from '../../contracts/prompt/upcast.ts';
import { UnreplicatedError } from '../postgres/append.ts';
import { AppenderBusyError, AppendUnansweredError } from '../postgres/appender.ts';
import { isConnectionLoss, isNotAllowed, isOutOfResources, isRetryable } from '../postgres/sqlstate.ts';
import { failActive } from '../telemetry/spans.ts';
import { NoAnswerError } from '../within.ts';
import { pointedFaults } from './validation.ts';

export type ProblemOptions = {
  detail?: string;
  errors?: { pointer: string; message: string }[];
  retryAfterSeconds?: number;
};

/** Thrown by routes; answered as it is. */
export class HttpProblem extends Error {
  readonly code: HttpErrorCode;
  readonly options: ProblemOptions;
  constructor(code: HttpErrorCode, options: ProblemOptions = {}) {
    super(options.detail ?? httpErrors[code].title);
    this.code = code;
    this.options = options;
  }
}

export const problem = (code: HttpErrorCode, options: ProblemOptions = {}): HttpProblem =>
  new HttpProblem(code, options);

export function problemBody(code: HttpErrorCode, requestId: string, options: ProblemOptions = {}): Problem {
  const { status, title, retryable } = httpErrors[code];
  return {
    type: `/docs/errors#${code}`,
    title,
    status,
    ...(options.detail !== undefined && { detail: options.detail }),
    code,
    requestId,
    retryable,
    ...(options.errors && { errors: options.errors }),
  };
}

/** The client's next try is worth something after so long. */
const RETRY_AFTER: Partial<Record<HttpErrorCode, number>> = {
  unavailable: 2,
  overloaded: 1,
  read_model_behind: 1,
  rate_limited: 1,
};

export function sendProblem(reply: FastifyReply, code: HttpErrorCode, options: ProblemOptions = {}): FastifyReply {
  const retryAfter = options.retryAfterSeconds ?? RETRY_AFTER[code];
  if (retryAfter !== undefined) reply.header('retry-after', String(Math.ceil(retryAfter)));
  if (code === 'unauthenticated') reply.header('www-authenticate', 'Bearer');
  const body = problemBody(code, reply.request.id, options);
  // Serialised here: the route's response schema is that of its success.
  return reply
    .code(body.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .send(JSON.stringify(body));
}

const MAY_HAVE_TAKEN_EFFECT =
  'nobody knows whether this took effect: look, or send it again; an ask with the same Idempotency-Key is taken once';

/** During an upgrade the other instances are of that release, and after it this one is. */
const WRITTEN_BY_A_NEWER_RELEASE = 'the prompt has an event of a newer release, which this instance cannot read';

/** Fastify's own faults, by its codes. */
const BY_CODE: Record<string, HttpErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_request',
  FST_ERR_BAD_URL: 'invalid_request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
};

export function handleError(
  error: FastifyError | HttpProblem,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (error instanceof HttpProblem) return sendProblem(reply, error.code, error.options);
  if ('validation' in error && error.validation) {
    return sendProblem(reply, 'invalid_request', { errors: pointedFaults(error.validation, error.validationContext) });
  }
  const known = BY_CODE[error.code];
  if (known) return sendProblem(reply, known, { detail: error.message });
  if (error instanceof AppenderBusyError) return sendProblem(reply, 'overloaded');
  if (error instanceof AppendUnansweredError || error instanceof UnreplicatedError) {
    tell(request, 'warn', error, 'http: the database did not answer in time');
    return sendProblem(reply, 'unavailable', { detail: MAY_HAVE_TAKEN_EFFECT });
  }
  if (error instanceof NoAnswerError || isConnectionLoss(error) || isRetryable(error) || isOutOfResources(error)) {
    tell(request, 'warn', error, 'http: the database did not take the request');
    return sendProblem(reply, 'unavailable');
  }
  if (isNotAllowed(error)) {
    tell(request, 'error', error, 'http: the database does not let this login do it');
    return sendProblem(reply, 'unavailable');
  }
  if (error instanceof UnknownEventError) {
    tell(request, 'warn', error, 'http: a prompt that this build cannot read is left to those that can');
    return sendProblem(reply, 'unavailable', { detail: WRITTEN_BY_A_NEWER_RELEASE });
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return sendProblem(reply, codeOf(error.statusCode), { detail: error.message });
  }
  tell(request, 'error', error, 'http: a request failed');
  return sendProblem(reply, 'internal');
}

/** No fault of the client's: in the log with all that is known, in the trace with its code. */
function tell(request: FastifyRequest, level: 'warn' | 'error', error: unknown, message: string): void {
  request.log[level]({ err: error }, message);
  failActive(error);
}

function codeOf(status: number): HttpErrorCode {
  const match = (Object.keys(httpErrors) as HttpErrorCode[]).find((code) => httpErrors[code].status === status);
  return match ?? 'invalid_request';
}

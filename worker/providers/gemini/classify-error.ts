/** What a failed call means. A call's error is told by status and reason, never by whom it was thrown. */
import { ApiError } from '@google/genai';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { AbortReason, Billing, Outcome, Retry } from '../provider.ts';
import { secondsToPacificMidnight } from './quota-reset.ts';

const NOTHING_BILLED: Billing = { known: true, usage: null, rawUsage: null };
const UNKNOWN_BILL: Billing = { known: false, rawUsage: null };
const MESSAGE_LIMIT = 500;
const BAD_KEY_PARK_SECONDS = 60;
const BILLING_PARK_SECONDS = 300;

const GoogleError = Type.Object({
  message: Type.Optional(Type.String()),
  details: Type.Optional(
    Type.Array(
      Type.Object({
        reason: Type.Optional(Type.String()),
        retryDelay: Type.Optional(Type.String()),
        violations: Type.Optional(Type.Array(Type.Object({ quotaId: Type.Optional(Type.String()) }))),
      }),
    ),
  ),
});
type GoogleError = Static<typeof GoogleError>;
/** A body of another shape says nothing: then its status alone is judged. */
const ErrorShape = TypeCompiler.Compile(GoogleError);

export type ErrorContext = {
  signal: AbortSignal;
  /** The HTTP answer had begun with 200: the model ran. */
  started: boolean;
  rawUsage: unknown;
  emulated: boolean;
  /** The API key: a provider or a proxy may repeat it in an error, and errors are stored and shown. */
  secret: string;
  now: Date;
};

export function classifyError(error: unknown, context: ErrorContext): Outcome {
  const billing: Billing = context.started ? { known: false, rawUsage: context.rawUsage ?? null } : UNKNOWN_BILL;
  const base = { emulated: context.emulated };
  if (context.signal.aborted) {
    // The SDK throws the same for every abort, and an abort does not stop the bill: only our own reason tells them apart.
    const code = context.signal.reason as AbortReason;
    return { type: 'unknown', code, message: `the call was cut: ${code}`, billing, ...base };
  }
  if (error instanceof ApiError) {
    const body = parseBody(error.message);
    const emulated = context.emulated || body.message?.includes('(emulated)') === true;
    if (context.started) {
      return {
        type: 'unknown',
        code: `provider_${error.status}`,
        message: describe(error.status, body, context.secret),
        billing,
        emulated,
      };
    }
    return { ...refused(error.status, body, context), emulated };
  }
  if (
    error instanceof SyntaxError ||
    (error instanceof Error && /Incomplete JSON segment|is not valid JSON/.test(error.message))
  ) {
    return {
      type: 'unknown',
      code: 'malformed_response',
      message: 'the provider’s answer was cut or is not JSON',
      billing,
      ...base,
    };
  }
  const unsent = context.started ? null : unsentCode(error);
  if (unsent !== null) {
    const message = `no connection: ${unsent}`;
    return { type: 'retry', code: 'provider_unreachable', message, billing: NOTHING_BILLED, ...base };
  }
  const message = networkCode(error) ?? (error instanceof Error ? error.name : 'unknown fault');
  return { type: 'unknown', code: 'connection_lost', message: `the connection broke: ${message}`, billing, ...base };
}

type Refused =
  | Omit<Retry, 'emulated'>
  | { type: 'failed'; code: string; message: string; finishReason: null; billing: Billing };

/** An HTTP status other than 200. 400 and 500 are documented as free; 503 and 504 are taken to be, nothing else is known of them. */
function refused(status: number, body: GoogleError, { secret, now }: ErrorContext): Refused {
  const message = describe(status, body, secret);
  const retry = (code: string, over: Partial<Retry> = {}): Refused => ({
    type: 'retry',
    code,
    message,
    billing: NOTHING_BILLED,
    ...over,
  });
  const reasons = (body.details ?? []).map((detail) => detail.reason);
  if (status === 401 || status === 403 || reasons.includes('API_KEY_INVALID')) {
    return retry('bad_key', { park: { reason: 'bad_key', seconds: BAD_KEY_PARK_SECONDS } });
  }
  if (status === 402 || (status === 429 && /spend|prepay|billing account/i.test(body.message ?? ''))) {
    return retry('billing_stopped', { park: { reason: 'billing', seconds: BILLING_PARK_SECONDS } });
  }
  if (status === 429) {
    if (isDailyQuota(body))
      return retry('daily_quota', { park: { reason: 'daily_quota', seconds: secondsToPacificMidnight(now) } });
    const afterSeconds = retryDelay(body);
    return retry('rate_limited', afterSeconds === null ? {} : { afterSeconds });
  }
  if (status === 404)
    return { type: 'failed', code: 'model_not_found', message, finishReason: null, billing: NOTHING_BILLED };
  // A redirect is not followed: whoever answers so in the provider's place may be gone soon.
  if (status >= 500 || status === 408 || status < 400) return retry(`provider_${status}`);
  return { type: 'failed', code: 'invalid_request', message, finishReason: null, billing: NOTHING_BILLED };
}

const isDailyQuota = (body: GoogleError): boolean =>
  (body.details ?? []).some((detail) => detail.violations?.some(({ quotaId }) => /PerDay/.test(quotaId ?? '')));

/** `RetryInfo.retryDelay`, e.g. "1.5s": Gemini sends no Retry-After header. */
function retryDelay(body: GoogleError): number | null {
  const delay = body.details?.find((detail) => detail.retryDelay !== undefined)?.retryDelay;
  const seconds = /^(\d+(?:\.\d+)?)s$/.exec(delay ?? '')?.[1];
  return seconds === undefined || !Number.isFinite(Number(seconds)) ? null : Number(seconds);
}

/** The SDK puts the body into the error's message, at times wrapped in another one. */
function parseBody(message: string): GoogleError {
  try {
    const { error } = { ...(JSON.parse(message) as { error?: unknown }) };
    if (!ErrorShape.Check(error)) return {};
    const inner = error.message?.trimStart().startsWith('{') ? parseBody(error.message) : {};
    return { ...error, ...inner };
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return {}; // HTML of a proxy, or plain text: not for the user's eyes
  }
}

function describe(status: number, body: GoogleError, secret: string): string {
  const told = body.message?.replaceAll(secret, '…').replace(/AIza[\w-]{20,}/g, '…');
  const said = told && !/^\s*</.test(told) ? `: ${told}` : '';
  return `the provider answered ${status}${said}`.slice(0, MESSAGE_LIMIT);
}

/** The fault of an operation that comes before any byte of a request. */
const BEFORE_SENDING = /^(connect|getaddrinfo|query\w*|socket|bind)$/;
/** No connection was made: nobody there, no way there, no name, no file or port left for it, or no trust in who answered. */
const NEVER_SENT =
  /^(E(CONNREFUSED|HOSTUNREACH|HOSTDOWN|NETUNREACH|NETDOWN|ADDRNOTAVAIL|AFNOSUPPORT|MFILE|NFILE|NOBUFS|NOTFOUND)|EAI_\w+|UND_ERR_CONNECT_TIMEOUT)$/;
/** The handshake failed; the request follows it. Other ERR_SSL_ may come later, and say nothing of what was sent. */
const NEVER_TRUSTED =
  /^(CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|ERR_TLS_|ERR_SSL_(WRONG_VERSION_NUMBER|UNSUPPORTED_PROTOCOL|\w*(HANDSHAKE_FAILURE|PROTOCOL_VERSION|UNRECOGNIZED_NAME)$))/;
/** Node gives it the code of a connection that broke, ECONNRESET. */
const CLOSED_IN_HANDSHAKE = /before secure TLS connection was established/;

type SystemError = Error & { code?: unknown; syscall?: unknown };

/** The code of a fault before anything was sent, else null. fetch's own error says only "fetch failed": `cause` tells. */
function unsentCode(error: unknown): string | null {
  if (error instanceof AggregateError) {
    // One attempt for each of a host's addresses.
    const codes = error.errors.map(unsentCode);
    return codes.every((code) => code !== null) ? (codes[0] ?? null) : null;
  }
  if (!(error instanceof Error)) return null;
  const { code, syscall, message } = error as SystemError;
  if (typeof code === 'string') {
    const before = typeof syscall === 'string' && BEFORE_SENDING.test(syscall);
    if (before || NEVER_SENT.test(code) || NEVER_TRUSTED.test(code) || CLOSED_IN_HANDSHAKE.test(message)) return code;
  }
  return unsentCode(error.cause);
}

/** The deepest code along `cause`. */
function networkCode(error: unknown): string | null {
  let code: string | null = null;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const found = (at as SystemError).code;
    if (typeof found === 'string') code = found;
  }
  return code;
}

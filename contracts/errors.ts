/** The error catalogue: stable codes, matched both ways with doc/reference/errors.md by a test. */

/** What the HTTP API answers with. `retryable`: the same request may succeed later. */
export const httpErrors = {
  invalid_request: { status: 400, title: 'The request is not valid', retryable: false },
  unknown_model: { status: 400, title: 'The model is not served', retryable: false },
  not_available: { status: 400, title: 'The feature is not available', retryable: false },
  unauthenticated: { status: 401, title: 'No valid credential', retryable: false },
  budget_exhausted: { status: 402, title: 'The budget is used up', retryable: false },
  not_found: { status: 404, title: 'Not found', retryable: false },
  method_not_allowed: { status: 405, title: 'The method is not allowed here', retryable: false },
  request_timeout: { status: 408, title: 'The request arrived too slowly', retryable: true },
  wrong_state: { status: 409, title: 'The prompt is not in a state that allows this', retryable: false },
  expired: { status: 409, title: 'The prompt has expired', retryable: false },
  payload_too_large: { status: 413, title: 'The body is too large', retryable: false },
  uri_too_long: { status: 414, title: 'The address is too long', retryable: false },
  unsupported_media_type: { status: 415, title: 'The body is not application/json', retryable: false },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another body', retryable: false },
  rate_limited: { status: 429, title: 'Too many requests', retryable: true },
  headers_too_large: { status: 431, title: 'The headers are too large', retryable: false },
  internal: { status: 500, title: 'Something failed inside', retryable: true },
  unavailable: { status: 503, title: 'The request cannot be taken durably right now', retryable: true },
  overloaded: { status: 503, title: 'Too much is waiting right now', retryable: true },
  read_model_behind: { status: 503, title: 'The read model has not reached that position', retryable: true },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>;
export type HttpErrorCode = keyof typeof httpErrors;

/** Why a prompt, or one attempt, failed: `error.code` of a prompt, `code` of AttemptFailed and AttemptDiscarded. */
export const promptErrors = {
  attempts_exhausted: 'Every attempt the retry budget allows has failed; the message names the last fault.',
  outcome_unknown: 'With retry "never": the call was made, and nobody can tell what came of it.',
  lease_lost: 'The worker fell silent until its lease ended.',
  late_answer: 'An answer that came after the prompt had ended; its cost is recorded.',
  provider_fault: 'The provider adapter itself failed.',
  deadline: 'The call was cut at its deadline (CALL_TIMEOUT_SECONDS).',
  cancelled: 'The call was cut because the prompt was cancelled.',
  shutdown: 'The call was cut because the worker had to stop.',
} as const satisfies Record<string, string>;
export type PromptErrorCode = keyof typeof promptErrors;

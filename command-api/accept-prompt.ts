/** Accepts an ask: admit → one append → the answer of 202. Nothing is answered before it is durable. */
import type { Accepted, AskBody } from '../contracts/http/commands.ts';
import { failPoint } from '../platform/fail-points.ts';
import type { Appender } from '../platform/postgres/appender.ts';
import { within } from '../platform/within.ts';
import { askFaults, EXPIRED } from './ask-rules.ts';
import type { Submitted } from './find-submission.ts';
import { bodyHash, type CostBound, keyedSubmissionId, type SubmissionContext, toSubmission } from './submission.ts';

export type AcceptOptions = {
  append: Appender['appendWithin'];
  /** The submission with this event id, if there is one. */
  find: (eventId: string) => Promise<Submitted | null>;
  models: ReadonlySet<string>;
  defaultModel: string;
  /** The most one attempt can cost; `nanoUsd` null when the model has no price. */
  costBound: (ask: { model: string; inputBytes: number; maxOutputTokens?: number }) => CostBound;
  /** Key of the body hashes kept for Idempotency-Keys. */
  secret: Buffer;
  /** The server's time. */
  now: () => Date;
  /** Something new waits in the outbox. */
  onAccepted: (ask: { lane: string; model: string }) => void;
};

export type AcceptResult =
  | { status: 'accepted'; accepted: Accepted; replayed: boolean }
  | {
      status: 'refused';
      code: 'invalid_request' | 'unknown_model' | 'not_available';
      errors: { pointer: string; message: string }[];
    }
  /** The Idempotency-Key was used for another body. */
  | { status: 'key_reused' };

export type AcceptPrompt = (body: AskBody, context: SubmissionContext) => Promise<AcceptResult>;

export function createAcceptPrompt(options: AcceptOptions): AcceptPrompt {
  /** What is served now says nothing about what was accepted before: a repetition is answered as the first time. */
  async function unlessRepeated(
    { userId, idempotency, withinMs }: SubmissionContext,
    refusal: AcceptResult,
  ): Promise<AcceptResult> {
    if (!idempotency) return refusal;
    const earlier = await within(withinMs, options.find(keyedSubmissionId(userId, idempotency.key)));
    return earlier ? replay(earlier, idempotency.body) : refusal;
  }

  const replay = (earlier: Submitted, body: Buffer): AcceptResult =>
    earlier.metadata.bodyHash === bodyHash(options.secret, body)
      ? { status: 'accepted', accepted: acceptedOf(earlier), replayed: true }
      : { status: 'key_reused' };

  return async (body, context) => {
    // With a key it may be a repetition, which is answered as the first time, however late: the log tells.
    const errors = askFaults(body, context.idempotency ? null : options.now());
    if (errors.length > 0) return { status: 'refused', code: 'invalid_request', errors };
    const model = body.model ?? options.defaultModel;
    if (!options.models.has(model)) {
      const message = `is not served: GET /models lists those that are`;
      const errors = [{ pointer: '/model', message }];
      return unlessRepeated(context, { status: 'refused', code: 'unknown_model', errors });
    }
    if (body.mode === 'research') {
      const message = 'research is not available yet';
      const errors = [{ pointer: '/mode', message }];
      return unlessRepeated(context, { status: 'refused', code: 'not_available', errors });
    }
    const inputBytes = Buffer.byteLength(body.prompt) + Buffer.byteLength(body.system ?? '');
    const { maxOutputTokens } = body;
    const bound = options.costBound({ model, inputBytes, ...(maxOutputTokens !== undefined && { maxOutputTokens }) });
    const submission = toSubmission(body, model, bound, context, options.secret);
    await failPoint('api.admitted');
    const result = await options.append(submission, context.withinMs);
    await failPoint('api.appended');
    // Its time came to an end since it was looked at: nothing else of a new prompt's row can be in the way.
    if (result.status === 'conflict' && result.reason === 'outbox')
      return { status: 'refused', code: 'invalid_request', errors: [EXPIRED] };
    if (result.status === 'conflict') throw new Error(`a new prompt met a conflict: ${result.reason}`);
    // A duplicate is this request's own append, made again after a lost reply, or an earlier one with the same key.
    const own = submission.streamId === result.streamId;
    const { idempotency } = context;
    if (result.status === 'duplicate' && !own && idempotency) return replay(result, idempotency.body);
    options.onAccepted({ lane: body.lane ?? 'normal', model });
    return { status: 'accepted', accepted: acceptedOf(result), replayed: false };
  };
}

const acceptedOf = ({ streamId, position, recordedAt }: Omit<Submitted, 'metadata'>): Accepted => ({
  id: streamId,
  status: 'queued',
  position,
  submittedAt: recordedAt,
});

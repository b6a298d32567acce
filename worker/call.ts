/** One provider call for one claimed attempt, and what its outcome means for the prompt and the account. */
import { encodeText } from '../contracts/answer-text.ts';
import type { AttemptResult, Charge } from '../contracts/prompt/decide.ts';
import type { Usage } from '../contracts/usage.ts';
import { failPoint } from '../platform/fail-points.ts';
import type { Claim } from './claim.ts';
import type { AbortReason, Billing, Outcome, Provider } from './providers/provider.ts';
import { traceCalls } from './providers/traced.ts';

/** Price of known usage at a time; null: the model has no price. */
export type PriceOf = (model: string, usage: Usage, at: Date) => { nanoUsd: number; priceVersion: string } | null;

export type CallOptions = {
  provider: Provider;
  priceOf: PriceOf;
  callTimeoutSeconds: number;
  now: () => Date;
  /** The first text of the answer has come. */
  onFirstToken?: () => void;
};

export type CallResult = {
  result: AttemptResult;
  /** The provider refuses the whole model until then. */
  park: { reason: string; seconds: number } | null;
};

/** Never rejects: a fault of the provider's code is an outcome too, and its cost is unknown. */
export async function callProvider(
  claim: Claim,
  controller: AbortController,
  options: CallOptions,
): Promise<CallResult> {
  const { request, attempt, state } = claim;
  const deadline = setTimeout(
    () => controller.abort('deadline' satisfies AbortReason),
    options.callTimeoutSeconds * 1000,
  );
  const calledAt = options.now();
  const abandoned = afterAbort(controller.signal);
  let isFirst = true;
  const onDelta = (): void => {
    if (isFirst) options.onFirstToken?.();
    isFirst = false;
    void failPoint('worker.streaming');
  };
  // The span of a call ends with what is known of it, also where the provider hangs.
  const { name } = options.provider;
  const provider = traceCalls({
    name,
    generate: (...call) => Promise.race([options.provider.generate(...call), abandoned.promise]),
  });
  try {
    const outcome = await provider.generate(
      {
        model: request.model,
        prompt: request.prompt,
        ...(request.system !== null && { system: request.system }),
        ...(request.temperature !== null && { temperature: request.temperature }),
        ...(request.maxOutputTokens !== null && { maxOutputTokens: request.maxOutputTokens }),
        attemptId: `${state.promptId}/${attempt}`,
      },
      { signal: controller.signal, onDelta },
    );
    return toResult(claim, outcome, calledAt, options.priceOf);
  } catch (error) {
    const message = error instanceof Error ? error.name : 'not an error';
    const billing: Billing = { known: false, rawUsage: null };
    return toResult(
      claim,
      { type: 'unknown', code: 'provider_fault', message, billing, emulated: false },
      calledAt,
      options.priceOf,
    );
  } finally {
    clearTimeout(deadline);
    abandoned.dispose();
  }
}

/** A provider that does not end within this time after it was told to would hold its slot for ever. */
const ABANDON_MS = 5_000;

function afterAbort(signal: AbortSignal): { promise: Promise<Outcome>; dispose: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort = () => {};
  const promise = new Promise<Outcome>((resolve) => {
    onAbort = () => {
      const code = signal.reason as AbortReason;
      const message = `the call was cut: ${code}`;
      const billing: Billing = { known: false, rawUsage: null };
      timer = setTimeout(() => resolve({ type: 'unknown', code, message, billing, emulated: false }), ABANDON_MS);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  return {
    promise,
    dispose: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** Claimed and surely not called: it costs nothing and counts against nothing. */
export function notCalled({ attempt, token }: Pick<Claim, 'attempt' | 'token'>): CallResult {
  const charge = { usage: null, rawUsage: null, nanoUsd: 0, boundNanoUsd: null, priceVersion: null, emulated: false };
  const message = 'the claim was answered too late, or not at all: the provider was not called';
  return { result: { attempt, token, charge, end: 'not_called', code: 'not_called', message }, park: null };
}

function toResult(claim: Claim, outcome: Outcome, calledAt: Date, priceOf: PriceOf): CallResult {
  const charge = chargeOf(claim, outcome, calledAt, priceOf);
  const base = { attempt: claim.attempt, token: claim.token, charge };
  switch (outcome.type) {
    case 'completed': {
      const { text, encoding } = encodeText(outcome.answer);
      const finishReason = storable(outcome.finishReason);
      const modelVersion = outcome.modelVersion === null ? null : storable(outcome.modelVersion);
      const { truncated } = outcome;
      return {
        result: { ...base, end: 'completed', answer: text, encoding, finishReason, truncated, modelVersion },
        park: null,
      };
    }
    case 'retry': {
      const { code, message, afterSeconds, park } = outcome;
      const wait = park?.seconds ?? afterSeconds;
      const result = {
        ...base,
        end: park ? 'parked' : 'retry',
        code: storable(code),
        message: storable(message),
        ...(wait !== undefined && { afterSeconds: wait }),
      } as const;
      return { result, park: park ?? null };
    }
    case 'failed':
    case 'unknown':
      return {
        result: { ...base, end: outcome.type, code: storable(outcome.code), message: storable(outcome.message) },
        park: null,
      };
  }
}

/** Integer nano-USD where the provider told its usage; otherwise unknown, with the bound set when it was submitted. */
function chargeOf(claim: Claim, outcome: Outcome, at: Date, priceOf: PriceOf): Charge {
  const { billing, emulated } = outcome;
  const unknown = { nanoUsd: null, boundNanoUsd: claim.state.boundNanoUsd, priceVersion: claim.state.priceVersion };
  if (!billing.known) return { usage: null, rawUsage: storableJson(billing.rawUsage), ...unknown, emulated };
  if (billing.usage === null) {
    return { usage: null, rawUsage: null, nanoUsd: 0, boundNanoUsd: null, priceVersion: null, emulated };
  }
  const price = priceOf(claim.request.model, billing.usage, at);
  const rawUsage = storableJson(billing.rawUsage);
  return price
    ? {
        usage: billing.usage,
        rawUsage,
        nanoUsd: price.nanoUsd,
        boundNanoUsd: null,
        priceVersion: price.priceVersion,
        emulated,
      }
    : { usage: billing.usage, rawUsage, ...unknown, emulated };
}

/** Text of foreign origin that must reach the log, without what Postgres cannot hold. */
const storable = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\ufffd');

/** The same for a whole JSON value, names included; its numbers and shape stay. */
const storableJson = (value: unknown): unknown =>
  value === undefined ? null : JSON.parse(JSON.stringify(value), (_, inner: unknown) => storableParts(inner));

function storableParts(value: unknown): unknown {
  if (typeof value === 'string') return storable(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storable(name), inner]));
}

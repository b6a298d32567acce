/**
 * The port every model provider implements. A call's end is a value, never a thrown surprise:
 * whoever calls `generate` can switch over `type` and is done.
 */
import type { Usage } from '../../contracts/usage.ts';

export type GenerateRequest = {
  /** Provider's model name, e.g. `gemini-2.5-flash`. */
  model: string;
  prompt: string;
  system?: string;
  /** 0..2 */
  temperature?: number;
  maxOutputTokens?: number;
  /** `<promptId>/<attempt>`, sent as a header so that a provider's log can be matched with ours. */
  attemptId: string;
};

export type GenerateContext = {
  /** Aborted with an `AbortReason` as its reason. The provider must stop within a second of it. */
  signal: AbortSignal;
  /** Called with each piece of answer text, in order. Must not throw. */
  onDelta: (text: string) => void;
};

/** What the caller gives to `AbortController.abort`: the SDK throws the same error for all of them. */
export type AbortReason = 'deadline' | 'cancelled' | 'shutdown';

/** What the provider billed, as far as it said so. `rawUsage` is its own block, stored unread. */
export type Billing =
  /** The provider reported usage; cost can be computed from it. */
  | { known: true; usage: Usage; rawUsage: unknown }
  /** The request was refused or never sent: nothing was billed. */
  | { known: true; usage: null; rawUsage: null }
  /** The request may have been billed; nobody can tell (cut, timed out, aborted, no or senseless usage). */
  | { known: false; rawUsage: unknown };

export type Completed = {
  type: 'completed';
  /** Unicode text as the model sent it; may hold U+0000 or lone surrogates. */
  answer: string;
  /** Provider's own word, e.g. `STOP`, `MAX_TOKENS`. */
  finishReason: string;
  truncated: boolean;
  billing: Billing;
  modelVersion: string | null;
  /** The answer came from the emulator. */
  emulated: boolean;
};
/** Try again later; `afterSeconds` is the provider's own wish (fractional), absent when it stated none. */
export type Retry = {
  type: 'retry';
  code: string;
  message: string;
  afterSeconds?: number;
  /** The fault is not this prompt's: the whole model lane waits until then (daily quota, bad key). */
  park?: { reason: 'daily_quota' | 'bad_key' | 'billing'; seconds: number };
  billing: Billing;
  emulated: boolean;
};
/** Final: another attempt would end the same way. */
export type Failed = {
  type: 'failed';
  code: string;
  message: string;
  finishReason: string | null;
  billing: Billing;
  emulated: boolean;
};
/** The request was sent and nobody knows what came of it. */
export type Unknown = { type: 'unknown'; code: string; message: string; billing: Billing; emulated: boolean };

export type Outcome = Completed | Retry | Failed | Unknown;

export type Provider = {
  readonly name: string;
  generate(request: GenerateRequest, context: GenerateContext): Promise<Outcome>;
};

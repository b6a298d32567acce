/** A prompt as the API shows it. */
import { decodeText, type StoredText } from '../answer-text.ts';
import type { Prompt } from '../http/queries.ts';
import { amount, usd } from '../money.ts';
import { isEmulated, spendOf } from './spend.ts';
import type { PromptState } from './state.ts';

export type PromptTexts = { prompt: string; answer: StoredText | null };

export function toPrompt(state: PromptState, texts: PromptTexts): Prompt {
  const answered = state.attempts.find((attempt) => attempt.end === 'answered');
  const last = state.attempts.at(-1);
  // An answer's cost; or, of a prompt that ended without one, all that is known to have been charged.
  const charged = answered ?? (state.finishedAt !== null && last?.nanoUsd != null ? last : null);
  const spend = spendOf(state);
  return {
    id: state.promptId,
    userId: state.userId,
    status: state.status,
    model: state.model,
    prompt: texts.prompt,
    answer: texts.answer ? decodeText(texts.answer) : null,
    finishReason: state.finishReason,
    truncated: state.truncated,
    emulated: isEmulated(state),
    error: state.error,
    attempts: state.attempts.length,
    usage: charged?.usage ?? null,
    cost:
      charged?.nanoUsd == null
        ? null
        : {
            nanoUsd: charged.nanoUsd,
            usd: usd(charged.nanoUsd),
            priceVersion: charged.priceVersion,
            notional: charged.emulated,
          },
    spend: {
      confirmed: amount(spend.confirmed),
      wasted: amount(spend.wasted),
      unknownBound: amount(spend.unknownBound),
      unknownAttempts: spend.unknown,
      notional: spend.notional,
    },
    submittedAt: state.submittedAt,
    startedAt: state.startedAt,
    finishedAt: state.finishedAt,
    position: state.position,
    conversationId: state.conversationId,
    metadata: state.metadata,
    lane: state.lane,
    retry: state.retry,
    notBefore: state.notBefore,
    expiresAt: state.expiresAt,
  };
}

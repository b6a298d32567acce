/** Gemini's usage block, made ours. */
import type { GenerateContentResponseUsageMetadata } from '@google/genai';
import type { Usage } from '../../../contracts/usage.ts';

/** No call has ever that many tokens: a larger number is a fault of the provider's, not a bill. */
const SENSELESS = 2 ** 31;

/**
 * `promptTokenCount` includes cached tokens; thoughts are not in `candidatesTokenCount`. Null when the block is missing,
 * or holds what cannot be true: the cost is then unknown, never guessed.
 */
export function toUsage(raw: GenerateContentResponseUsageMetadata | undefined): Usage | null {
  if (typeof raw?.promptTokenCount !== 'number') return null;
  const inputTokens = raw.promptTokenCount + (raw.toolUsePromptTokenCount ?? 0);
  const cachedInputTokens = raw.cachedContentTokenCount ?? 0;
  const outputTokens = raw.candidatesTokenCount ?? 0;
  const thoughtTokens = raw.thoughtsTokenCount ?? 0;
  const counts = [inputTokens, cachedInputTokens, outputTokens, thoughtTokens];
  if (!counts.every((count) => Number.isInteger(count) && count >= 0 && count < SENSELESS)) return null;
  if (cachedInputTokens > inputTokens) return null;
  return {
    inputTokens,
    cachedInputTokens,
    outputTokens,
    thoughtTokens,
    totalTokens: inputTokens + outputTokens + thoughtTokens,
  };
}

const GROWING = [
  'promptTokenCount',
  'cachedContentTokenCount',
  'candidatesTokenCount',
  'thoughtsTokenCount',
  'toolUsePromptTokenCount',
] as const;

/** Counts only grow along a stream; a count that shrinks or goes missing makes the last word doubtful. */
export function shrank(
  before: GenerateContentResponseUsageMetadata | undefined,
  now: GenerateContentResponseUsageMetadata,
): boolean {
  return GROWING.some((count) => (before?.[count] ?? 0) > (now[count] ?? 0));
}

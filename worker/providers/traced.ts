/** A provider whose calls have spans of the GenAI conventions; what is asked and answered is in none of them. */
import { type Attributes, type Span, SpanKind } from '@opentelemetry/api';
import { attr, own, value } from '../../platform/telemetry/conventions.ts';
import { fail, inSpan, isTraced, type SpanShape } from '../../platform/telemetry/spans.ts';
import type { GenerateContext, GenerateRequest, Outcome, Provider } from './provider.ts';

/** By our name of a provider; others are called what they call themselves. */
const PROVIDER_NAMES: Record<string, string> = { gemini: value.gcpGemini };

export const traceCalls = (provider: Provider): Provider => ({
  name: provider.name,
  generate: (request, context) =>
    isTraced()
      ? inSpan(
          () => callOf(provider.name, request),
          (span) => generate(provider, request, context, span),
        )
      : provider.generate(request, context),
});

const callOf = (provider: string, { model, maxOutputTokens, temperature }: GenerateRequest): SpanShape => ({
  name: `${value.generateContent} ${model}`,
  kind: SpanKind.CLIENT,
  attributes: {
    [attr.genAiOperationName]: value.generateContent,
    [attr.genAiProviderName]: PROVIDER_NAMES[provider] ?? provider,
    [attr.genAiRequestModel]: model,
    [attr.genAiRequestStream]: true,
    ...(maxOutputTokens !== undefined && { [attr.genAiRequestMaxTokens]: maxOutputTokens }),
    ...(temperature !== undefined && { [attr.genAiRequestTemperature]: temperature }),
  },
});

async function generate(
  provider: Provider,
  request: GenerateRequest,
  context: GenerateContext,
  span: Span,
): Promise<Outcome> {
  const startedAt = performance.now();
  let firstAt: number | null = null;
  const onDelta = (text: string) => {
    firstAt ??= performance.now();
    context.onDelta(text);
  };
  const outcome = await provider.generate(request, { ...context, onDelta });
  if (firstAt !== null) span.setAttribute(attr.genAiResponseTimeToFirstChunk, (firstAt - startedAt) / 1000);
  span.setAttributes(answerOf(outcome));
  if (outcome.type !== 'completed') fail(span, outcome.code);
  return outcome;
}

/** Codes of failures are ours; their messages are the provider's words, and stay in the log of events. */
function answerOf(outcome: Outcome): Attributes {
  const { billing, emulated, type } = outcome;
  const finishReason = 'finishReason' in outcome ? outcome.finishReason : null;
  const model = 'modelVersion' in outcome ? outcome.modelVersion : null;
  return {
    [own.promptOutcome]: type,
    [own.promptEmulated]: emulated,
    ...(finishReason !== null && { [attr.genAiResponseFinishReasons]: [finishReason] }),
    ...(model !== null && { [attr.genAiResponseModel]: model }),
    ...(billing.known && billing.usage && tokensOf(billing.usage)),
  };
}

/** The conventions count thoughts among the output, and cached input among the input. */
const tokensOf = (usage: {
  inputTokens: number;
  cachedInputTokens: number;
  outputTokens: number;
  thoughtTokens: number;
}): Attributes => ({
  [attr.genAiUsageInputTokens]: usage.inputTokens,
  [attr.genAiUsageCacheReadInputTokens]: usage.cachedInputTokens,
  [attr.genAiUsageOutputTokens]: usage.outputTokens + usage.thoughtTokens,
  [attr.genAiUsageReasoningOutputTokens]: usage.thoughtTokens,
});

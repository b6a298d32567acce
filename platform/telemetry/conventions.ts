/**
 * The names of OpenTelemetry's semantic conventions 1.45 that our spans use; conventions.test.ts compares them with the
 * package that publishes them. Messaging and GenAI are still in development there: what is renamed is changed here.
 * Attributes that begin with `prompt.`, `projection.` and `feed.` are our own.
 */
export const attr = {
  errorType: 'error.type',
  userId: 'user.id',

  httpRequestMethod: 'http.request.method',
  httpResponseStatusCode: 'http.response.status_code',
  httpRoute: 'http.route',
  urlPath: 'url.path',
  urlScheme: 'url.scheme',
  userAgentOriginal: 'user_agent.original',

  dbSystemName: 'db.system.name',
  dbOperationName: 'db.operation.name',
  dbQuerySummary: 'db.query.summary',
  dbStoredProcedureName: 'db.stored_procedure.name',
  dbCollectionName: 'db.collection.name',

  messagingSystemName: 'messaging.system.name',
  messagingOperationName: 'messaging.operation.name',
  messagingOperationType: 'messaging.operation.type',
  messagingDestinationName: 'messaging.destination.name',
  messagingConsumerGroupName: 'messaging.consumer.group.name',
  messagingMessageId: 'messaging.message.id',
  messagingClientId: 'messaging.client.id',

  genAiOperationName: 'gen_ai.operation.name',
  genAiProviderName: 'gen_ai.provider.name',
  genAiRequestModel: 'gen_ai.request.model',
  genAiRequestMaxTokens: 'gen_ai.request.max_tokens',
  genAiRequestTemperature: 'gen_ai.request.temperature',
  genAiRequestStream: 'gen_ai.request.stream',
  genAiResponseModel: 'gen_ai.response.model',
  genAiResponseFinishReasons: 'gen_ai.response.finish_reasons',
  /** Seconds. */
  genAiResponseTimeToFirstChunk: 'gen_ai.response.time_to_first_chunk',
  genAiUsageInputTokens: 'gen_ai.usage.input_tokens',
  genAiUsageOutputTokens: 'gen_ai.usage.output_tokens',
  genAiUsageReasoningOutputTokens: 'gen_ai.usage.reasoning.output_tokens',
  genAiUsageCacheReadInputTokens: 'gen_ai.usage.cache_read.input_tokens',
} as const;

/** Values that the conventions give. */
export const value = {
  postgresql: 'postgresql',
  redis: 'redis',
  send: 'send',
  process: 'process',
  settle: 'settle',
  generateContent: 'generate_content',
  gcpGemini: 'gcp.gemini',
} as const;

/** What no convention names. */
export const own = {
  promptId: 'prompt.id',
  promptAttempt: 'prompt.attempt',
  promptPosition: 'prompt.position',
  promptEvent: 'prompt.event',
  /** Where there may be several. */
  promptEvents: 'prompt.events',
  promptEmulated: 'prompt.emulated',
  /** How a claim or a call ended: `claimed`, `completed`, `retry`, … */
  promptOutcome: 'prompt.outcome',
  projectionName: 'projection.name',
  projectionVersion: 'projection.version',
  /** Events folded in the same step, whatever their trace. */
  projectionEvents: 'projection.events',
  /** Connections and waiting requests that an event went to. */
  feedListeners: 'feed.listeners',
} as const;

/** Every span of one prompt's trace: what the reference says of it, and what a real one is held against. */
import { APPEND_FUNCTION } from '../../platform/postgres/append.ts';
import { attr, own } from '../../platform/telemetry/conventions.ts';
import type { SpanKind } from '../kit/collector.ts';

export type SpanEntry = {
  /** `{…}` stands for what differs. */
  name: string;
  kind: SpanKind;
  service: 'command-api' | 'worker' | 'projector' | 'query-api';
  /** Names of the spans that it may stand under; 'caller': what the request brought, if anything. */
  under: string[];
  /** Whether it is linked to the contexts that it came from. */
  linked?: true;
  about: string;
  attributes: string[];
  /** Only where there is something to tell. */
  sometimes?: string[];
};

const ASK = 'POST {route}';
const HANDLER = 'handler {route}';
const PROCESS = 'process tasks';
const CALL = 'generate_content {model}';

const MESSAGE = [
  attr.messagingSystemName,
  attr.messagingOperationName,
  attr.messagingOperationType,
  attr.messagingDestinationName,
];
const DATABASE = [attr.dbSystemName, attr.dbOperationName, attr.dbQuerySummary];

export const catalog: SpanEntry[] = [
  {
    name: ASK,
    kind: 'SERVER',
    service: 'command-api',
    under: ['caller'],
    about: 'The request, until its answer is sent. Its query is not in it. Any other request has one too.',
    attributes: [
      attr.httpRequestMethod,
      attr.httpRoute,
      attr.httpResponseStatusCode,
      attr.urlPath,
      attr.urlScheme,
      attr.userId,
    ],
    sometimes: [attr.userAgentOriginal, attr.errorType],
  },
  {
    name: HANDLER,
    kind: 'INTERNAL',
    service: 'command-api',
    under: [ASK],
    about: 'Of that, from the valid request on (`@opentelemetry/instrumentation-fastify`).',
    attributes: [attr.httpRoute],
    sometimes: [attr.errorType],
  },
  {
    name: `SELECT ${APPEND_FUNCTION}`,
    kind: 'CLIENT',
    service: 'command-api',
    under: [HANDLER, ASK],
    about: 'The append of the prompt and its outbox row, from the queue to the answer; a call is shared with others.',
    attributes: [...DATABASE, attr.dbStoredProcedureName, own.promptId, own.promptEvents, own.promptOutcome],
    sometimes: [own.promptPosition, attr.errorType],
  },
  {
    name: 'send tasks',
    kind: 'PRODUCER',
    service: 'command-api',
    under: [ASK],
    about: 'The relay publishes the task. Between the request and this the prompt waited in the outbox.',
    attributes: [...MESSAGE, attr.messagingMessageId, own.promptId],
    sometimes: [attr.errorType],
  },
  {
    name: PROCESS,
    kind: 'CONSUMER',
    service: 'worker',
    under: ['send tasks'],
    linked: true,
    about: 'A worker has the task, until it is acknowledged or left.',
    attributes: [
      ...MESSAGE,
      attr.messagingConsumerGroupName,
      attr.messagingClientId,
      attr.messagingMessageId,
      own.promptId,
      own.promptOutcome,
    ],
    sometimes: [attr.errorType],
  },
  {
    name: 'claim',
    kind: 'INTERNAL',
    service: 'worker',
    under: [PROCESS],
    about:
      'The attempt is claimed: it is read, decided and appended. Of a redriven prompt it is linked to the first trace.',
    attributes: [],
    sometimes: [attr.errorType],
  },
  {
    name: 'SELECT event',
    kind: 'CLIENT',
    service: 'worker',
    under: ['claim'],
    about: 'The prompt’s stream is read; a statement is shared with others.',
    attributes: [...DATABASE, attr.dbCollectionName],
    sometimes: [attr.errorType],
  },
  {
    name: `SELECT ${APPEND_FUNCTION}`,
    kind: 'CLIENT',
    service: 'worker',
    under: ['claim', 'settle'],
    about: 'The claim, and what came of it.',
    attributes: [...DATABASE, attr.dbStoredProcedureName, own.promptId, own.promptEvents, own.promptOutcome],
    sometimes: [own.promptPosition, attr.errorType],
  },
  {
    name: CALL,
    kind: 'CLIENT',
    service: 'worker',
    under: [PROCESS],
    about: 'The one call of the provider. A failed one has the code of the failure as `error.type`.',
    attributes: [
      attr.genAiOperationName,
      attr.genAiProviderName,
      attr.genAiRequestModel,
      attr.genAiRequestStream,
      own.promptOutcome,
      own.promptEmulated,
    ],
    sometimes: [
      attr.genAiRequestMaxTokens,
      attr.genAiRequestTemperature,
      attr.genAiResponseModel,
      attr.genAiResponseFinishReasons,
      attr.genAiResponseTimeToFirstChunk,
      attr.genAiUsageInputTokens,
      attr.genAiUsageCacheReadInputTokens,
      attr.genAiUsageOutputTokens,
      attr.genAiUsageReasoningOutputTokens,
      attr.errorType,
    ],
  },
  {
    name: 'settle',
    kind: 'INTERNAL',
    service: 'worker',
    under: [PROCESS],
    about: 'The outcome is recorded, with all the tries that it takes; of an answer in the spool by the next process.',
    attributes: [own.promptId, own.promptAttempt, own.promptOutcome],
    sometimes: [attr.errorType],
  },
  {
    name: 'send results',
    kind: 'PRODUCER',
    service: 'worker',
    under: [PROCESS],
    about: 'The outcome is told.',
    attributes: [...MESSAGE, own.promptId, own.promptAttempt, own.promptEvent, own.promptPosition],
    sometimes: [attr.errorType],
  },
  {
    name: 'ack tasks',
    kind: 'CLIENT',
    service: 'worker',
    under: [PROCESS],
    about: 'The task is acknowledged and deleted.',
    attributes: [...MESSAGE, attr.messagingConsumerGroupName, attr.messagingMessageId, own.promptId],
    sometimes: [attr.errorType],
  },
  {
    name: 'process results',
    kind: 'CONSUMER',
    service: 'projector',
    under: ['send results'],
    linked: true,
    about: 'A projector was woken. What it folds it reads from the log, maybe before this.',
    attributes: [...MESSAGE, attr.messagingConsumerGroupName, attr.messagingMessageId, own.promptId],
  },
  {
    name: 'project {projection}',
    kind: 'INTERNAL',
    service: 'projector',
    under: [ASK, PROCESS],
    linked: true,
    about: 'Events of the prompt were folded and the cursor moved; one for all that a step folded of this trace.',
    attributes: [
      own.projectionName,
      own.projectionVersion,
      own.projectionEvents,
      own.promptId,
      own.promptEvents,
      own.promptPosition,
    ],
  },
  {
    name: 'push {event}',
    kind: 'PRODUCER',
    service: 'query-api',
    under: [ASK, PROCESS],
    about: 'The event was written to the sockets of those who follow it; there is none where nobody does.',
    attributes: [own.promptId, own.promptEvent, own.promptPosition, own.feedListeners],
  },
];

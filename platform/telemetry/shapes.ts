/** How spans of the conventions look: messages on a stream, statements, calls of a model. */
import { type Attributes, context, type Link, SpanKind, trace } from '@opentelemetry/api';
import { attr, value } from './conventions.ts';
import type { SpanShape } from './spans.ts';

type Operation = typeof value.send | typeof value.process | typeof value.settle;

const message = (
  operation: Operation,
  name: string,
  kind: SpanKind,
  stream: string,
  attributes: Attributes,
): SpanShape => ({
  name: `${name} ${stream}`,
  kind,
  attributes: {
    [attr.messagingSystemName]: value.redis,
    [attr.messagingOperationName]: name,
    [attr.messagingOperationType]: operation,
    [attr.messagingDestinationName]: stream,
    ...attributes,
  },
});

/** Its context is what the entry carries. */
export const sendOf = (stream: string, attributes: Attributes): SpanShape =>
  message(value.send, 'send', SpanKind.PRODUCER, stream, attributes);

/** One entry: the context that it brought is the parent, and is linked as the conventions want it. */
export const processOf = (stream: string, group: string, sent: Link[], attributes: Attributes): SpanShape => ({
  ...message(value.process, 'process', SpanKind.CONSUMER, stream, {
    [attr.messagingConsumerGroupName]: group,
    ...attributes,
  }),
  links: sent,
});

export const acknowledgeOf = (stream: string, group: string, attributes: Attributes): SpanShape =>
  message(value.settle, 'ack', SpanKind.CLIENT, stream, { [attr.messagingConsumerGroupName]: group, ...attributes });

/** A function of ours in the database, or a table that is read. */
export const selectOf = (target: { function: string } | { table: string }, attributes: Attributes = {}): SpanShape => {
  const summary = `SELECT ${'function' in target ? target.function : target.table}`;
  return {
    name: summary,
    kind: SpanKind.CLIENT,
    attributes: {
      [attr.dbSystemName]: value.postgresql,
      [attr.dbOperationName]: 'SELECT',
      [attr.dbQuerySummary]: summary,
      ...('function' in target
        ? { [attr.dbStoredProcedureName]: target.function }
        : { [attr.dbCollectionName]: target.table }),
      ...attributes,
    },
  };
};

/** A step inside one of our processes. */
export const stepOf = (name: string, attributes: Attributes = {}): SpanShape => ({
  name,
  kind: SpanKind.INTERNAL,
  attributes,
});

/** To what is active now. */
export function linkToActive(): Link[] {
  const active = trace.getSpanContext(context.active());
  return active ? [{ context: active }] : [];
}

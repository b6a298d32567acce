/** W3C trace context as it travels in event metadata and stream entries. */
import { type Context, context, isSpanContextValid, ROOT_CONTEXT, type SpanContext, trace } from '@opentelemetry/api';

const SHAPE = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** What a request brought, if it is well-formed. */
export const traceparentOf = (header: string | string[] | undefined): string | null =>
  typeof header === 'string' && SHAPE.test(header) ? header : null;

/** Of the active span; null when there is none. */
export function activeTraceparent(): string | null {
  const span = trace.getSpanContext(context.active());
  return span && isSpanContextValid(span) ? toTraceparent(span) : null;
}

export const toTraceparent = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;

/** Whether somebody records this trace: only then is a span worth its price. */
export const isSampled = (traceparent: string | null): traceparent is string =>
  traceparent !== null && (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1 && SHAPE.test(traceparent);

/** As the parent of what happens here; what is missing or malformed is no parent. */
export function contextOf(traceparent: string | null): Context {
  if (traceparent === null || !SHAPE.test(traceparent)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, toSpanContext(traceparent));
}

export const toSpanContext = (traceparent: string): SpanContext => ({
  traceId: traceparent.slice(3, 35),
  spanId: traceparent.slice(36, 52),
  traceFlags: Number.parseInt(traceparent.slice(-2), 16),
  isRemote: true,
});

/** W3C trace context as it travels in event metadata and stream entries. */
import { isSpanContextValid, trace } from '@opentelemetry/api';

const SHAPE = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The active span's, else a well-formed one that the request brought, else null. */
export function traceparentOf(header: string | string[] | undefined): string | null {
  const span = trace.getActiveSpan()?.spanContext();
  if (span && isSpanContextValid(span)) {
    return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
  }
  return typeof header === 'string' && SHAPE.test(header) ? header : null;
}

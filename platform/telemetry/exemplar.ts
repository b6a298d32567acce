/** The trace beside a measured value: what a dashboard jumps to from a bar of a histogram. */
import { context, isSpanContextValid, TraceFlags, trace } from '@opentelemetry/api';

/** OpenMetrics' label set; empty: no trace, or one that nobody keeps. */
export type ExemplarLabels = { trace_id?: string };

const NONE: ExemplarLabels = Object.freeze({});

/** Of the active span. */
export function activeExemplar(): ExemplarLabels {
  const span = trace.getSpanContext(context.active());
  return span && isSpanContextValid(span) && span.traceFlags & TraceFlags.SAMPLED ? { trace_id: span.traceId } : NONE;
}

/** Of a trace context as events and stream entries carry it. */
export function exemplarOf(traceparent: string | null): ExemplarLabels {
  const [, traceId, , flags] = traceparent?.split('-') ?? [];
  return traceId && Number.parseInt(flags ?? '0', 16) & TraceFlags.SAMPLED ? { trace_id: traceId } : NONE;
}

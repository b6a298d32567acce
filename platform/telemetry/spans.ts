/**
 * Spans of our own, at the edges between two parts. Made only in traces that are recorded: everywhere else a look at
 * one flag is all that is paid. No span holds a prompt, an answer or an error's message, which might quote either.
 */
import {
  type Attributes,
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  type Link,
  type Span,
  type SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { attr } from './conventions.ts';
import { contextOf, isSampled, toSpanContext, toTraceparent } from './traceparent.ts';

export type SpanShape = {
  name: string;
  kind: SpanKind;
  attributes: Attributes;
  links?: Link[];
  /** As `performance.now()` told it; now when absent. */
  startTime?: number;
};

const tracer = trace.getTracer('prompt-orchestrator');
/** Takes everything and keeps nothing. */
const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

/** Whether what happens now belongs to a trace that is recorded. */
export const isTraced = (): boolean => {
  const active = trace.getSpanContext(context.active());
  return active !== undefined && (active.traceFlags & TraceFlags.SAMPLED) !== 0;
};

/** Runs `work` in the trace that a message or an event brought, so that its log lines and spans belong there. */
export const inTraceOf = <T>(traceparent: string | null, work: () => T): T =>
  context.with(contextOf(traceparent), work);

/** Runs `work`, inside a span where the trace is recorded. An error ends the span as failed, and is thrown on. */
export const inSpan = <T>(shape: () => SpanShape, work: (span: Span) => Promise<T>): Promise<T> =>
  isTraced() ? record(context.active(), shape(), work) : work(NO_SPAN);

async function record<T>(parent: Context, shape: SpanShape, work: (span: Span) => Promise<T>): Promise<T> {
  const span = start(shape, parent);
  try {
    return await context.with(trace.setSpan(parent, span), work, undefined, span);
  } catch (error) {
    fail(span, errorType(error));
    throw error;
  } finally {
    span.end();
  }
}

/** A span whose parent is not what is active; of a trace that nobody records it takes everything and keeps nothing. */
export const beginSpan = (parent: string | null, shape: () => SpanShape): Span =>
  isSampled(parent) ? start(shape(), contextOf(parent)) : NO_SPAN;

/** From the active span to another trace: that of the request that a redriven prompt was first sent with. */
export function linkTo(traceparent: string | null): void {
  const active = trace.getActiveSpan();
  if (traceparent === null || !active?.isRecording()) return;
  const linked = toSpanContext(traceparent);
  if (linked.traceId !== active.spanContext().traceId) active.addLink({ context: linked });
}

const start = ({ name, ...options }: SpanShape, parent: Context): Span => tracer.startSpan(name, options, parent);

export function fail(span: Span, type: string): void {
  span.setAttribute(attr.errorType, type);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

export function failActive(error: unknown): void {
  const span = trace.getActiveSpan();
  if (span?.isRecording()) fail(span, errorType(error));
}

/** Its code or class: few values, none of them a message. */
export function errorType(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : typeof name === 'string' ? name : '_OTHER';
}

/** Messages about to be sent, each with its own span as the context that travels with it. */
export function beginSends<M extends { traceparent: string | null }>(
  messages: M[],
  shape: (message: M) => SpanShape,
): { messages: M[]; end: (failure?: string) => void } {
  if (!messages.some(({ traceparent }) => isSampled(traceparent))) return { messages, end: () => {} };
  const spans = messages.map((message) => beginSpan(message.traceparent, () => shape(message)));
  return {
    messages: messages.map((message, i) =>
      spans[i] === NO_SPAN ? message : { ...message, traceparent: toTraceparent(spans[i]!.spanContext()) },
    ),
    end: (failure) => {
      for (const span of spans) {
        if (failure !== undefined) fail(span, failure);
        span.end();
      }
    },
  };
}

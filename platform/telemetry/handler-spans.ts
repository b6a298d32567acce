/**
 * `@opentelemetry/instrumentation-fastify`, kept to what it is good for here: a span for the time from the valid request
 * to the answer. Its spans of hooks say nothing and cost as much; it writes the messages of errors, which may quote the
 * request; and it works in every request, recorded or not. A hook of a later stage than onRequest ends its span early.
 */
import { type Span, type Tracer, type TracerProvider, trace } from '@opentelemetry/api';
import { FastifyInstrumentation } from '@opentelemetry/instrumentation-fastify';
import { attr } from './conventions.ts';
import { errorType, fail, isTraced } from './spans.ts';

export class HandlerSpans extends FastifyInstrumentation {
  override isEnabled(): boolean {
    return super.isEnabled() && isTraced();
  }
}

/** For `HandlerSpans.setTracerProvider`. */
export const handlerSpansOf = (provider: TracerProvider): TracerProvider => ({
  getTracer: (name, version, options): Tracer => {
    const tracer = provider.getTracer(name, version, options);
    return {
      startSpan: (spanName, spanOptions = {}, parent) => {
        const active = trace.getActiveSpan();
        if (!spanName.startsWith('request handler') && active)
          return instead(active, { end: () => {}, onError: () => {} });
        const route = String(spanOptions.attributes?.[attr.httpRoute] ?? 'none');
        const attributes = { [attr.httpRoute]: route };
        const span = tracer.startSpan(`handler ${route}`, { ...spanOptions, attributes }, parent);
        return instead(span, { end: (at) => span.end(at), onError: (error) => fail(span, errorType(error)) });
      },
      startActiveSpan: tracer.startActiveSpan.bind(tracer),
    };
  },
});

/** The same span with another end; its errors are told by their type alone. */
function instead(span: Span, { end, onError }: { end: Span['end']; onError: (error: unknown) => void }): Span {
  const own: Span = {
    spanContext: () => span.spanContext(),
    isRecording: () => span.isRecording(),
    setAttribute: (key, value) => chain(span.setAttribute(key, value)),
    setAttributes: (attributes) => chain(span.setAttributes(attributes)),
    addEvent: (...event) => chain(span.addEvent(...event)),
    addLink: (link) => chain(span.addLink(link)),
    addLinks: (links) => chain(span.addLinks(links)),
    updateName: (name) => chain(span.updateName(name)),
    setStatus: () => own,
    end,
    recordException: onError,
  };
  const chain = (_: Span): Span => own;
  return own;
}

/**
 * The span of a request. Of our own making, not HttpInstrumentation's: that one writes the query into the span, where
 * the words of `GET /prompts?q=` are a part of somebody's prompt, and binds both streams of every request, recorded or not.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { context, type Span, SpanKind, trace } from '@opentelemetry/api';
import { attr } from './conventions.ts';
import { fail } from './spans.ts';
import { contextOf, traceparentOf } from './traceparent.ts';

const tracer = trace.getTracer('prompt-orchestrator');

/** Probes are noise, and the feed's connections live for hours; what they are sent is in the traces of the prompts. */
const isUntraced = (url: string): boolean => url.startsWith('/health') || url.startsWith('/live');

/** Begins or goes on with a trace, and runs `handle` in it. */
export const traceRequests =
  (handle: RequestListener): RequestListener =>
  (request, response) => {
    const { headers, method = '', url = '' } = request;
    if (isUntraced(url)) return handle(request, response);
    const parent = contextOf(traceparentOf(headers.traceparent));
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER }, parent);
    if (span.isRecording()) describe(span, request, response);
    return context.with(trace.setSpan(parent, span), handle, undefined, request, response);
  };

function describe(span: Span, request: IncomingMessage, response: ServerResponse): void {
  const { headers, method = '', url = '' } = request;
  span.setAttributes({
    [attr.httpRequestMethod]: method,
    [attr.urlPath]: url.split('?', 1)[0] ?? '',
    [attr.urlScheme]: 'http',
    ...(headers['user-agent'] !== undefined && { [attr.userAgentOriginal]: headers['user-agent'] }),
  });
  // 'finish' does not come where the client has left.
  response.once('close', () => {
    if (response.headersSent) span.setAttribute(attr.httpResponseStatusCode, response.statusCode);
    if (response.statusCode >= 500) fail(span, String(response.statusCode));
    span.end();
  });
}

/** Once the router has spoken; null: there is no such route. */
export function nameRequest(method: string, route: string | null): void {
  const span = trace.getActiveSpan();
  if (route === null || !span?.isRecording()) return;
  span.updateName(`${method} ${route}`);
  span.setAttribute(attr.httpRoute, route);
}

export const noteUser = (userId: string): void => void trace.getActiveSpan()?.setAttribute(attr.userId, userId);

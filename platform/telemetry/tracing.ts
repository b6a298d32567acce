/** Traces over OTLP. Exporting never delays or breaks the service: what a collector does not take is dropped, and told. */
import { connect } from 'node:net';
import { DiagLogLevel, diag, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { Config } from '../config/load.ts';
import { within } from '../within.ts';
import { HandlerSpans, handlerSpansOf } from './handler-spans.ts';
import { createReporter, type Reporter } from './reporter.ts';
import { onTracingStop } from './shutdown.ts';

/** With the collector away, the SDK's own shutdown took 7.9 s and rejected. */
const SHUTDOWN_MS = 3_000;
const CONNECT_MS = 300;

/** Once in a process. Handlers of Fastify have spans where this runs before Fastify is imported. */
export async function startTracing(config: Config, logger: Reporter): Promise<void> {
  const jaeger = config.JAEGER_URI && `http://${config.JAEGER_URI}/v1/traces`;
  const standard = config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? config.OTEL_EXPORTER_OTLP_ENDPOINT;
  const protocol = config.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? config.OTEL_EXPORTER_OTLP_PROTOCOL;
  const collector = standard ?? jaeger;
  if (!config.tracing || !collector) return;
  const { register } = await import('import-in-the-middle/register-hooks.mjs');
  register({ include: ['fastify'] });
  const reporter = createReporter(logger);
  listenToSdk(reporter);
  const handlers = new HandlerSpans();
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ 'service.name': config.APP_ID }),
    // SDK and exporter read the standard variables by themselves: a path of their own, headers, time-outs, certificates.
    // Where a protocol is named the SDK takes the exporter for it; by itself it would take protobuf.
    ...(!(standard && protocol) && { traceExporter: new OTLPTraceExporter(standard ? {} : { url: collector }) }),
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [handlers],
  });
  sdk.start();
  handlers.setTracerProvider(handlerSpansOf(trace.getTracerProvider()));
  const address = new URL(collector);
  onTracingStop(async () => {
    try {
      await takesConnections(address);
      await within(SHUTDOWN_MS, sdk.shutdown());
    } catch (error) {
      logger.warn({ err: error, collector: address.host }, 'tracing: the last spans were not sent');
    }
  });
}

/** Its exporter tells of failures here alone, and its queue of spans that had no place. */
function listenToSdk(reporter: Reporter): void {
  const tell =
    (message: string) =>
    (first: string, ...rest: unknown[]) =>
      reporter.warn({ detail: [first, ...rest].map(String).join(' ').slice(0, 1_000) }, message);
  const nothing = () => {};
  const logger = {
    error: tell('tracing: spans could not be sent, they are dropped'),
    warn: tell('tracing: the SDK warns'),
    info: nothing,
    debug: nothing,
    verbose: nothing,
  };
  diag.setLogger(logger, DiagLogLevel.WARN);
}

/** Rejects at once where nobody is there: trying to send would take the exporter seconds of retries. */
function takesConnections({ protocol, hostname, port }: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    const fallback = protocol === 'https:' ? 443 : 80;
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || fallback });
    socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}

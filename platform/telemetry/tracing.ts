/** Traces over OTLP/HTTP. Exporting never delays or breaks the service. */

import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { FastifyInstrumentation } from '@opentelemetry/instrumentation-fastify';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { onTracingStop } from './shutdown.ts';

/** With the collector away, the SDK's own shutdown took 7.9 s and rejected. */
const SHUTDOWN_MS = 3_000;

/** `jaegerUri`: host:port of an OTLP/HTTP collector; null leaves it to the standard OTEL_EXPORTER_OTLP_* variables. */
export async function startTracing(options: { service: string; jaegerUri: string | null }): Promise<void> {
  const { register } = await import('import-in-the-middle/register-hooks.mjs');
  register();
  const exporter = new OTLPTraceExporter(options.jaegerUri ? { url: `http://${options.jaegerUri}/v1/traces` } : {});
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ 'service.name': options.service }),
    traceExporter: exporter,
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [new HttpInstrumentation(), new FastifyInstrumentation()],
  });
  sdk.start();
  onTracingStop(async () => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SHUTDOWN_MS);
    });
    await Promise.race([
      sdk.shutdown().catch((error: unknown) => console.error('tracing: last spans were not sent', error)),
      late,
    ]);
    clearTimeout(timer);
  });
}

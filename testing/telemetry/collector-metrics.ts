/**
 * A page of metrics as the collector has it: none can be run here. The names are those of its documentation, and show that
 * the panels and rules that read them are whole, not that the names are right.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { After } from '../kit/database.ts';

const STORES = ['otlp_grpc/tempo', 'otlp_grpc/jaeger'];
const COUNTERS = ['otelcol_exporter_send_failed_spans_total', 'otelcol_exporter_enqueue_failed_spans_total'];

/** Its port. Spans get lost from the second page on, so that a rate is there. */
export async function startCollectorMetrics(t: After): Promise<number> {
  let pages = 0;
  const server = createServer((_, response) => {
    const page = COUNTERS.flatMap((name) => [
      `# TYPE ${name} counter`,
      ...STORES.map((store) => `${name}{exporter="${store}"} ${5 * pages}`),
    ]);
    pages += 1;
    response.setHeader('content-type', 'text/plain; version=0.0.4').end(`${page.join('\n')}\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

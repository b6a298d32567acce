/** An OTLP/HTTP collector that writes down the spans it is sent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { After } from './database.ts';

export type Span = { service: string; traceId: string; spanId: string; name: string; parentSpanId?: string };

export type Collector = {
  /** host:port, as in JAEGER_URI. */
  address: string;
  spans: Span[];
  requests: { path: string; tenant: string | string[] | undefined }[];
};

type Attribute = { key: string; value: { stringValue?: string } };
type Export = {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Omit<Span, 'service'>[] }[] }[];
};

export async function startCollector(t: After): Promise<Collector> {
  const spans: Span[] = [];
  const requests: Collector['requests'] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      requests.push({ path: request.url ?? '', tenant: request.headers['x-tenant'] });
      spans.push(...spansOf(JSON.parse(Buffer.concat(pieces).toString()) as Export));
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, spans, requests };
}

const spansOf = ({ resourceSpans }: Export): Span[] =>
  resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const name = resource.attributes.find((attribute) => attribute.key === 'service.name');
    return scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({ ...span, service: name?.value.stringValue ?? '' })),
    );
  });

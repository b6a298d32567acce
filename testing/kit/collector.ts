/** An OTLP/HTTP collector that writes down the spans it is sent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { After } from './database.ts';

export type SpanKind = 'INTERNAL' | 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER';
export type Span = {
  service: string;
  /** Who made it: the name of the instrumentation. */
  scope: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | null;
  name: string;
  kind: SpanKind;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  events: string[];
  failed: boolean;
  /** Milliseconds since 1970, with fractions. */
  startMs: number;
  endMs: number;
};

export type Collector = {
  /** host:port, as in JAEGER_URI. */
  address: string;
  spans: Span[];
  requests: { path: string; tenant: string | string[] | undefined }[];
};

type Value = {
  stringValue?: string;
  intValue?: number | string;
  doubleValue?: number;
  boolValue?: boolean;
  arrayValue?: { values: Value[] };
};
type Attribute = { key: string; value: Value };
type RawSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  links?: { traceId: string; spanId: string }[];
  events?: { name: string }[];
  status?: { code?: number };
};
type Export = {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { scope: { name: string }; spans: RawSpan[] }[];
  }[];
};

/** By OTLP's numbers. */
const KINDS: SpanKind[] = ['INTERNAL', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const FAILED = 2;

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
    const service = String(attributesOf(resource.attributes)['service.name'] ?? '');
    return scopeSpans.flatMap(({ scope, spans }) => spans.map((span) => toSpan(service, scope.name, span)));
  });

const toSpan = (service: string, scope: string, raw: RawSpan): Span => ({
  service,
  scope,
  traceId: raw.traceId,
  spanId: raw.spanId,
  parentSpanId: raw.parentSpanId ?? null,
  name: raw.name,
  kind: KINDS[raw.kind] ?? 'INTERNAL',
  attributes: attributesOf(raw.attributes),
  links: (raw.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
  events: (raw.events ?? []).map(({ name }) => name),
  failed: raw.status?.code === FAILED,
  startMs: Number(BigInt(raw.startTimeUnixNano) / 1_000n) / 1_000,
  endMs: Number(BigInt(raw.endTimeUnixNano) / 1_000n) / 1_000,
});

const attributesOf = (attributes: Attribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, readValue(value)]));

const readValue = ({ arrayValue, boolValue, doubleValue, intValue, stringValue }: Value): unknown =>
  arrayValue?.values.map(readValue) ?? stringValue ?? boolValue ?? doubleValue ?? Number(intValue);

/** Holds the spans of one prompt's trace against the catalog: each is known and complete, and each of the catalog is there. */
import type { Span } from '../kit/collector.ts';
import { catalog, type SpanEntry } from './catalog.ts';

export type TraceOptions = {
  /** Span id that the request brought; null: it brought none. */
  caller: string | null;
  /** All services run in one process, which has no spans of handlers. */
  together?: boolean;
};

export function checkTrace(spans: Span[], { caller, together = false }: TraceOptions): string[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const nameOfParent = ({ parentSpanId }: Span): string =>
    parentSpanId === caller ? 'caller' : (byId.get(parentSpanId ?? '')?.name ?? 'nobody');
  const entryOf = (span: Span): SpanEntry | undefined =>
    catalog.find(
      ({ name, under, service }) =>
        matches(name, span.name) &&
        (together || service === span.service) &&
        under.some((parent) => matches(parent, nameOfParent(span))),
    );
  const found = new Set<SpanEntry>();
  const faults = spans.flatMap((span) => {
    const entry = entryOf(span);
    const place = `${span.service}: ${span.name}`;
    if (!entry) return [`${place} under ${nameOfParent(span)} is not in the catalog`];
    found.add(entry);
    return [...faultsOf(span, entry, byId)].map((fault) => `${place} ${fault}`);
  });
  const expected = catalog.filter(({ name }) => !together || !name.startsWith('handler'));
  const missing = expected.filter((entry) => !found.has(entry)).map((entry) => `${entry.service}: no ${entry.name}`);
  return [...faults, ...missing];
}

function* faultsOf(span: Span, entry: SpanEntry, byId: Map<string, Span>): Generator<string> {
  if (span.kind !== entry.kind) yield `is ${span.kind}, not ${entry.kind}`;
  if (span.endMs < span.startMs) yield 'ends before it begins';
  if (span.failed) yield 'has failed';
  if (span.events.length > 0) yield `has events: ${span.events.join(', ')}`;
  const names = Object.keys(span.attributes);
  const known = [...entry.attributes, ...(entry.sometimes ?? [])];
  for (const name of entry.attributes.filter((one) => !names.includes(one))) yield `has no ${name}`;
  for (const name of names.filter((one) => !known.includes(one))) yield `has ${name}, which the catalog does not know`;
  const parent = byId.get(span.parentSpanId ?? '');
  if (entry.linked) {
    if (!span.links.some(({ spanId }) => spanId === parent?.spanId)) yield 'is not linked to its parent';
    for (const { spanId } of span.links.filter((link) => !byId.has(link.spanId))) yield `is linked to ${spanId}`;
  } else if (span.links.length > 0) yield 'is linked';
  // Starts are whole milliseconds, each by the clock of its process.
  if (parent && span.startMs < parent.startMs - 5) yield `begins before ${parent.name}`;
}

const matches = (pattern: string, name: string): boolean =>
  new RegExp(`^${pattern.replaceAll(/\{\w+\}/g, '\\S+')}$`).test(name);

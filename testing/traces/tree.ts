/** A trace as text: who stands under whom, in the order of their beginnings. */
import type { Span } from '../kit/collector.ts';

export function toTree(spans: Span[]): string {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const byParent = Map.groupBy(spans, ({ parentSpanId }) =>
    parentSpanId && ids.has(parentSpanId) ? parentSpanId : '',
  );
  const zero = Math.min(...spans.map(({ startMs }) => startMs));
  const childrenOf = (id: string): Span[] => (byParent.get(id) ?? []).sort((a, b) => a.startMs - b.startMs);
  const rows: { left: string; span: Span }[] = [];
  const add = (span: Span, lead: string, branch: string, indent: string): void => {
    rows.push({ left: `${lead}${branch}${span.name}`, span });
    const children = childrenOf(span.spanId);
    children.forEach((child, i) => {
      const isLast = i === children.length - 1;
      add(child, `${lead}${indent}`, isLast ? '└─ ' : '├─ ', isLast ? '   ' : '│  ');
    });
  };
  for (const root of childrenOf('')) add(root, '', '', '');
  const width = Math.max(...rows.map(({ left }) => left.length));
  return rows
    .map(({ left, span }) => {
      const from = (span.startMs - zero).toFixed(1).padStart(7);
      const took = (span.endMs - span.startMs).toFixed(1).padStart(7);
      const links = span.links.length > 0 ? `  ${span.links.length} link${span.links.length > 1 ? 's' : ''}` : '';
      return `${left.padEnd(width)}  ${span.service.padEnd(11)}  ${span.kind.padEnd(8)} at ${from} ms, ${took} ms${links}`;
    })
    .join('\n');
}

/** doc/reference/traces.md, made from the catalog that real traces are held against. */
import { catalog, type SpanEntry } from './catalog.ts';

/** As the catalog says who stands under whom; what may stand under several is shown under each. */
function treeOf(): string[] {
  const childrenOf = (parent: SpanEntry): SpanEntry[] =>
    catalog.filter(
      ({ under }) =>
        under.includes(parent.name) &&
        // Under the request itself where there is no handler.
        !(under[0]!.startsWith('handler') && parent.kind === 'SERVER'),
    );
  const lines: [string, SpanEntry][] = [];
  const add = (entry: SpanEntry, lead: string, branch: string, indent: string): void => {
    lines.push([`${lead}${branch}${entry.name}`, entry]);
    const children = childrenOf(entry);
    children.forEach((child, i) => {
      const isLast = i === children.length - 1;
      add(child, `${lead}${indent}`, isLast ? '└─ ' : '├─ ', isLast ? '   ' : '│  ');
    });
  };
  add(catalog[0]!, '', '', '');
  const width = Math.max(...lines.map(([left]) => left.length));
  return lines.map(([left, { kind, service }]) => `${left.padEnd(width)}  ${service.padEnd(11)}  ${kind}`);
}

export function tracesReference(): string {
  const code = (names: string[]) => names.map((name) => `\`${name}\``).join(', ') || '–';
  return [
    '# Spans',
    '',
    'Made by `npm run docs` from `testing/traces/catalog.ts`; `npm run traces` holds the trace of a real prompt against it, both ways. How to record them: [follow a prompt](../how-to/follow-a-prompt.md).',
    '',
    'One prompt, asked once, with one attempt:',
    '',
    '```text',
    ...treeOf(),
    '```',
    '',
    'A retry adds another `send tasks` under the request. No span holds a prompt, an answer, a query or an error’s message.',
    '',
    '| span | kind | service | what it is | attributes | where there is something to tell |',
    '|---|---|---|---|---|---|',
    ...catalog.map(
      ({ about, attributes, kind, linked, name, service, sometimes = [] }) =>
        `| \`${name}\` | ${kind} | ${service} | ${about}${linked ? ' Linked to what it came from.' : ''} | ${code(attributes)} | ${code(sometimes)} |`,
    ),
    '',
  ].join('\n');
}

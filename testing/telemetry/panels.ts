/** Every panel of every dashboard, asked for real. */
import type pg from 'pg';
import { dashboards } from '../../deployment/grafana/dashboards.ts';
import type { Panel, Query } from '../../deployment/grafana/panel.ts';
import type { Prometheus, Series } from './prometheus.ts';
import { traceqlFaults } from './tools.ts';

export type Asked = { where: string; kind: Query['kind']; query: string; exemplars: boolean };
/** `value`: the newest that it gives; null: nothing. */
export type Answered = Asked & { value: string | null };

/** As Grafana does it, with a window that suits one scrape a second. */
const inPromql = (text: string): string => text.replaceAll('$__rate_interval', '10s').replaceAll('$service', '.*');

const inSql = (text: string, from: Date, to: Date): string =>
  text
    .replaceAll('$__timeFrom()', `'${from.toISOString()}'`)
    .replaceAll('$__timeTo()', `'${to.toISOString()}'`)
    .replaceAll(/\$\{emulated:sqlstring\}/g, "'include'");

export const panels: { where: string; panel: Panel }[] = dashboards.flatMap(({ title, rows }) =>
  rows.flatMap((row) => row.panels.map((panel) => ({ where: `${title} / ${panel.title}`, panel }))),
);

const queriesOf = (kind: Query['kind']) =>
  panels.flatMap(({ where, panel }) =>
    panel.queries.filter((query) => query.kind === kind).map((query) => ({ where, panel, query })),
  );

export async function askPrometheus(prometheus: Prometheus, since: number): Promise<Answered[]> {
  const answered: Answered[] = [];
  for (const { where, query } of queriesOf('promql')) {
    const text = inPromql(query.text);
    const exemplars = query.kind === 'promql' && query.exemplars;
    answered.push({
      where,
      kind: 'promql',
      query: text,
      exemplars,
      value: newest(await prometheus.range(text, since)),
    });
  }
  return answered;
}

/** Of all series the newest number, with what it is of and how many there are. */
function newest(series: Series[]): string | null {
  const found = series.flatMap(({ metric, values }) => {
    const last = values.findLast(([, value]) => Number.isFinite(Number(value)));
    return last ? [{ metric, last }] : [];
  });
  const best = found.toSorted((a, b) => b.last[0] - a.last[0])[0];
  if (!best) return null;
  const labels = Object.entries(best.metric).filter(([name]) => name !== '__name__');
  const of = labels.map(([name, value]) => `${name}=${value}`).join(' ');
  return [Number(best.last[1]).toPrecision(4), of, found.length > 1 ? `and ${found.length - 1} more` : '']
    .filter(Boolean)
    .join(' ');
}

export async function askPostgres(reader: pg.Pool, from: Date, to: Date): Promise<Answered[]> {
  const answered: Answered[] = [];
  for (const { where, query } of queriesOf('sql')) {
    const text = inSql(query.text, from, to);
    const { rows } = await reader.query<Record<string, unknown>>(text);
    const full = rows.find((row) => Object.values(row).every((value) => value !== null));
    const value = full && `${JSON.stringify(full)}${rows.length > 1 ? ` and ${rows.length - 1} more` : ''}`;
    answered.push({ where, kind: 'sql', query: text, exemplars: false, value: value ?? null });
  }
  return answered;
}

/** Nothing but a parser is at hand; `value`: that it parses. A panel of one trace names its id. */
export function parseTraceql(): Answered[] {
  const asked = queriesOf('traceql').filter(({ panel }) => panel.kind !== 'trace');
  const faults = traceqlFaults(asked.map(({ query }) => query.text));
  return asked.map(({ where, query }, i) => ({
    where,
    kind: 'traceql',
    query: query.text,
    exemplars: false,
    value: faults[i] === null ? 'parses' : null,
  }));
}

/** Every panel of every dashboard, asked for real. */
import type pg from 'pg';
import { dashboards } from '../../deployment/grafana/dashboards.ts';
import type { Panel, Query } from '../../deployment/grafana/panel.ts';
import type { Prometheus, Series } from './prometheus.ts';
import { traceqlFaults } from './tools.ts';

export type Asked = { where: string; kind: Query['kind']; query: string; exemplars: boolean };
/** `value`: the newest that it gives; null: nothing. `still`: it was 0 all the time, as a panel is that reads the wrong thing. */
export type Answered = Asked & { value: string | null; still: boolean };

/** As Grafana does it, with a window that suits one scrape a second. */
const inPromql = (text: string, hidden: Map<string, string>): string =>
  [...hidden].reduce(
    (replaced, [name, value]) => replaced.replaceAll(`$${name}`, value),
    text.replaceAll('$__rate_interval', '10s').replaceAll('$service', '.+'),
  );

const EMULATED = `\${emulated:sqlstring}`;
const inSql = (text: string, from: Date, to: Date): string =>
  text
    .replaceAll('$__timeFrom()', `'${from.toISOString()}'`)
    .replaceAll('$__timeTo()', `'${to.toISOString()}'`)
    .replaceAll(EMULATED, "'include'");

export const panels: { where: string; panel: Panel }[] = dashboards.flatMap(({ title, rows }) =>
  rows.flatMap((row) => row.panels.map((panel) => ({ where: `${title} / ${panel.title}`, panel }))),
);

const queriesOf = (kind: Query['kind']) =>
  panels.flatMap(({ where, panel }) =>
    panel.queries.filter((query) => query.kind === kind).map((query) => ({ where, panel, query })),
  );

/** Variables that are asked of the database and shown to nobody. */
async function askVariables(reader: pg.Pool): Promise<Answered[]> {
  const answered: Answered[] = [];
  for (const { title, variables } of dashboards) {
    for (const variable of variables) {
      if (variable.kind !== 'sql') continue;
      const query = variable.query.replaceAll(EMULATED, "'include'");
      const { rows } = await reader.query({ text: query, rowMode: 'array' });
      const value = rows.length === 1 ? ((rows[0] as unknown[])[0] as string) : null;
      answered.push({
        where: `${title} / $${variable.name}`,
        kind: 'sql',
        query,
        exemplars: false,
        value,
        still: false,
      });
    }
  }
  return answered;
}

export async function askPrometheus(prometheus: Prometheus, reader: pg.Pool, since: number): Promise<Answered[]> {
  const answered = await askVariables(reader);
  const hidden = new Map(answered.map(({ where, value }) => [where.split('$')[1]!, value ?? '']));
  for (const { where, query } of queriesOf('promql')) {
    const text = inPromql(query.text, hidden);
    const exemplars = query.kind === 'promql' && query.exemplars;
    const series = await prometheus.range(text, since);
    const still = series.every(({ values }) => values.every(([, value]) => !Number(value)));
    answered.push({ where, kind: 'promql', query: text, exemplars, value: newest(series), still });
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
    answered.push({ where, kind: 'sql', query: text, exemplars: false, value: value ?? null, still: false });
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
    still: false,
  }));
}

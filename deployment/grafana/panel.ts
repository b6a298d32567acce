/** Panels as Grafana's classic JSON has them. Sizes are of a grid that is 24 wide; a unit of height is 30 pixels. */
import { postgres, prometheus, tempo } from './datasources.ts';

export type Query =
  | { kind: 'promql'; text: string; legend: string; exemplars: boolean }
  | { kind: 'sql'; text: string; format: 'table' | 'time_series' }
  | { kind: 'traceql'; text: string };

/** `legend`: `{{label}}` stands for a label's value. */
export const promql = (text: string, legend = ''): Query => ({ kind: 'promql', text, legend, exemplars: false });
/** With the traces beside the values, to jump to. */
export const traced = (text: string, legend = ''): Query => ({ kind: 'promql', text, legend, exemplars: true });
/** One row for each line of the table. */
export const sql = (text: string): Query => ({ kind: 'sql', text, format: 'table' });
/** Columns `time`, `metric` and `value`. */
export const sqlSeries = (text: string): Query => ({ kind: 'sql', text, format: 'time_series' });
export const traceql = (text: string): Query => ({ kind: 'traceql', text });

export type Step = [from: number | null, color: 'green' | 'yellow' | 'orange' | 'red' | 'blue' | 'text'];

export type Panel = {
  kind: 'stat' | 'timeseries' | 'bars' | 'table' | 'bargauge' | 'trace' | 'text';
  title: string;
  /** What it shows, and what to make of it. */
  about: string;
  queries: Query[];
  width: number;
  height: number;
  /** Of Grafana's units, e.g. `s`, `bytes`, `percentunit`, `currencyUSD`. */
  unit: string;
  decimals: number | null;
  min: number | null;
  max: number | null;
  stacked: boolean;
  steps: Step[];
  /** Columns by name, with the unit of each. */
  columns: Record<string, string>;
  /** From every cell, beside those of the data source: `__data.fields.column` stands for a value of its row. */
  links: { title: string; url: string }[];
  /** Of a text. */
  markdown: string;
};

const DEFAULTS: Omit<Panel, 'kind' | 'title' | 'about' | 'queries'> = {
  width: 12,
  height: 8,
  unit: 'short',
  decimals: null,
  min: null,
  max: null,
  stacked: false,
  steps: [],
  columns: {},
  links: [],
  markdown: '',
};

type Options = Partial<Omit<Panel, 'kind' | 'title' | 'about' | 'queries'>>;

const panel =
  (kind: Panel['kind'], defaults: Options = {}) =>
  (title: string, about: string, queries: Query[], options: Options = {}): Panel => ({
    ...DEFAULTS,
    ...defaults,
    ...options,
    kind,
    title,
    about,
    queries,
  });

export const stat = panel('stat', { width: 4, height: 4 });
export const series = panel('timeseries', { min: 0 });
export const bars = panel('bars', { min: 0, stacked: true });
export const table = panel('table');
export const bargauge = panel('bargauge', { min: 0 });
export const trace = panel('trace', { width: 24, height: 16 });
export const text = (title: string, markdown: string, options: Options = {}): Panel =>
  panel('text', { width: 24, height: 4, markdown })(title, '', [], options);

type Json = Record<string, unknown>;

const TYPES = { timeseries: 'timeseries', bars: 'timeseries', trace: 'traces' } as const;

/** Grafana reads title and url; the rest is what its published types ask for, which have them as a dashboard's links. */
const linkJson = (link: Panel['links'][number]): Json => ({
  ...link,
  type: 'link',
  icon: '',
  tooltip: '',
  tags: [],
  asDropdown: false,
  targetBlank: false,
  includeVars: false,
  keepTime: false,
});

function targetOf(query: Query, index: number, panelOf: Panel): Json {
  const refId = String.fromCharCode(65 + index);
  switch (query.kind) {
    case 'promql': {
      const isTable = panelOf.kind === 'table' || panelOf.kind === 'bargauge';
      return {
        refId,
        datasource: prometheus,
        editorMode: 'code',
        expr: query.text,
        legendFormat: query.legend === '' ? '__auto' : query.legend,
        range: !isTable,
        instant: isTable,
        ...(isTable && { format: 'table' }),
        exemplar: query.exemplars,
      };
    }
    case 'sql':
      return {
        refId,
        datasource: postgres,
        editorMode: 'code',
        format: query.format,
        rawQuery: true,
        rawSql: query.text,
      };
    case 'traceql':
      return {
        refId,
        datasource: tempo,
        queryType: 'traceql',
        query: query.text,
        limit: 20,
        tableType: 'traces',
        filters: [],
      };
  }
}

function optionsOf({ kind, markdown }: Panel): Json {
  switch (kind) {
    case 'stat':
      return {
        colorMode: 'value',
        graphMode: 'area',
        justifyMode: 'auto',
        orientation: 'auto',
        textMode: 'auto',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      };
    case 'timeseries':
    case 'bars':
      return {
        legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['lastNotNull', 'max'] },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
    case 'table':
      return { showHeader: true, cellHeight: 'sm' };
    case 'bargauge':
      return {
        displayMode: 'gradient',
        orientation: 'horizontal',
        showUnfilled: true,
        valueMode: 'color',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: true },
      };
    case 'trace':
      return {};
    case 'text':
      return { mode: 'markdown', content: markdown };
  }
}

function customOf({ kind, stacked, steps }: Panel): Json {
  if (kind !== 'timeseries' && kind !== 'bars') return {};
  return {
    drawStyle: kind === 'bars' ? 'bars' : 'line',
    lineWidth: 1,
    fillOpacity: kind === 'bars' ? 80 : stacked ? 40 : 10,
    showPoints: 'never',
    spanNulls: false,
    stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
    thresholdsStyle: { mode: steps.length > 0 ? 'line' : 'off' },
  };
}

/** `id` and place are the dashboard's to give. */
export function panelJson(of: Panel, id: number, x: number, y: number): Json {
  const [first] = of.queries;
  const datasource = { promql: prometheus, sql: postgres, traceql: tempo }[first?.kind ?? 'promql'];
  const steps = of.steps.length > 0 ? of.steps : ([[null, 'text']] satisfies Step[]);
  return {
    id,
    type: of.kind in TYPES ? TYPES[of.kind as keyof typeof TYPES] : of.kind,
    title: of.title,
    description: of.about,
    gridPos: { x, y, w: of.width, h: of.height },
    ...(of.kind !== 'text' && { datasource, targets: of.queries.map((query, i) => targetOf(query, i, of)) }),
    fieldConfig: {
      defaults: {
        unit: of.unit,
        ...(of.decimals !== null && { decimals: of.decimals }),
        ...(of.min !== null && { min: of.min }),
        ...(of.max !== null && { max: of.max }),
        thresholds: { mode: 'absolute', steps: steps.map(([value, color]) => ({ color, value })) },
        color: { mode: of.kind === 'stat' || of.kind === 'bargauge' ? 'thresholds' : 'palette-classic' },
        ...(of.links.length > 0 && { links: of.links.map(linkJson) }),
        custom: customOf(of),
      },
      overrides: Object.entries(of.columns).map(([column, unit]) => ({
        matcher: { id: 'byName', options: column },
        properties: [{ id: 'unit', value: unit }],
      })),
    },
    options: optionsOf(of),
  };
}

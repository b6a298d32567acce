/** A dashboard as Grafana's classic JSON: panels in rows, from left to right, as many beside each other as fit. */
import { postgres, prometheus } from './datasources.ts';
import { type Panel, panelJson } from './panel.ts';

export type Variable =
  | { kind: 'labels'; name: string; label: string; query: string }
  | { kind: 'custom'; name: string; label: string; values: string[] }
  | { kind: 'textbox'; name: string; label: string }
  /** Not shown: the only value of the only row, asked anew when what it is asked by changes. */
  | { kind: 'sql'; name: string; query: string };

export type Dashboard = {
  uid: string;
  title: string;
  about: string;
  /** Of the time range, e.g. `now-1h`. */
  from: string;
  refresh: string;
  variables: Variable[];
  rows: { title: string; panels: Panel[] }[];
};

type Json = Record<string, unknown>;

const TAG = 'prompt-orchestrator';
const WIDTH = 24;

/** The text of its file; the same for the same dashboard. */
export function dashboardJson(dashboard: Dashboard): string {
  const { uid, title, about, from, refresh } = dashboard;
  const json: Json = {
    uid,
    title,
    description: about,
    tags: [TAG],
    schemaVersion: 42,
    version: 1,
    editable: false,
    graphTooltip: 1,
    timezone: 'browser',
    refresh,
    time: { from, to: 'now' },
    links: [
      {
        type: 'dashboards',
        title: '',
        tags: [TAG],
        asDropdown: false,
        icon: 'external link',
        includeVars: false,
        keepTime: true,
        targetBlank: false,
        tooltip: '',
        url: '',
      },
    ],
    annotations: { list: [] },
    templating: { list: dashboard.variables.map(variableJson) },
    panels: placed(dashboard.rows),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

function variableJson(variable: Variable): Json {
  const { name } = variable;
  const label = 'label' in variable ? variable.label : '';
  switch (variable.kind) {
    case 'labels':
      return {
        type: 'query',
        name,
        label,
        datasource: prometheus,
        query: { query: variable.query, refId: 'variable' },
        refresh: 2,
        sort: 1,
        multi: true,
        includeAll: true,
        allValue: '.+', // of ours: other programs have no such label
        current: { text: ['All'], value: ['$__all'] },
      };
    case 'custom': {
      const [first] = variable.values;
      return {
        type: 'custom',
        name,
        label,
        query: variable.values.join(','),
        multi: false,
        includeAll: false,
        current: { text: first, value: first },
        options: variable.values.map((value, i) => ({ text: value, value, selected: i === 0 })),
      };
    }
    case 'sql':
      return {
        type: 'query',
        name,
        hide: 2,
        datasource: postgres,
        query: variable.query,
        refresh: 2,
        multi: false,
        includeAll: false,
        current: { text: '', value: '' },
      };
    case 'textbox':
      return { type: 'textbox', name, label, query: '', current: { text: '', value: '' } };
  }
}

function placed(rows: Dashboard['rows']): Json[] {
  const json: Json[] = [];
  let id = 0;
  let y = 0;
  for (const { title, panels } of rows) {
    id += 1;
    json.push({ id, type: 'row', title, collapsed: false, gridPos: { x: 0, y, w: WIDTH, h: 1 }, panels: [] });
    y += 1;
    let x = 0;
    let tallest = 0;
    for (const one of panels) {
      if (x + one.width > WIDTH) {
        y += tallest;
        x = 0;
        tallest = 0;
      }
      id += 1;
      json.push(panelJson(one, id, x, y));
      x += one.width;
      tallest = Math.max(tallest, one.height);
    }
    y += tallest;
  }
  return json;
}

/**
 * The JSON of every dashboard against the types that Grafana publishes: unknown fields, wrong types and values that no
 * panel knows. There is no other schema of it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboardFiles } from '../../deployment/grafana/dashboards.ts';
import { TOOLS } from './tools.ts';

const TSC = join(import.meta.dirname, '../../node_modules/typescript/bin/tsc');

/** Enumerations by their values, functions of the builders left out; what Grafana fills in by itself may be absent. */
const HEAD = `
import type { Dashboard, Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import type { Dataquery as TempoQuery } from '@grafana/grafana-foundation-sdk/tempo';
import type { Options as Stat } from '@grafana/grafana-foundation-sdk/stat';
import type { FieldConfig, Options as Timeseries } from '@grafana/grafana-foundation-sdk/timeseries';
import type { Options as Table } from '@grafana/grafana-foundation-sdk/table';
import type { Options as Bargauge } from '@grafana/grafana-foundation-sdk/bargauge';
import type { Options as Text } from '@grafana/grafana-foundation-sdk/text';

type Plain<T> = T extends string ? \`\${T}\`
  : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer U)[] ? Plain<U>[]
  : { [K in keyof T as K extends \`_\${string}\` ? never : K]: Plain<T[K]> };
type Loose<T> = Plain<T> extends infer P ? { [K in keyof P]?: P[K] } : never;
type Sql = { refId: string; datasource: { type: string; uid: string }; editorMode: 'code'; format: 'table' | 'time_series'; rawQuery: true; rawSql: string };
type Target = Loose<Dataquery> | Loose<TempoQuery> | Sql;
type Kinds = {
  stat: { options: Loose<Stat>; custom: {} };
  timeseries: { options: Loose<Timeseries>; custom: Loose<FieldConfig> };
  table: { options: Loose<Table>; custom: {} };
  bargauge: { options: Loose<Bargauge>; custom: {} };
  text: { options: Loose<Text>; custom: {} };
  traces: { options: {}; custom: {} };
};
type Base = Omit<Plain<Panel>, 'targets' | 'options' | 'fieldConfig' | 'type'>;
type Defaults = Omit<NonNullable<NonNullable<Plain<Panel>['fieldConfig']>['defaults']>, 'custom'>;
type Overrides = NonNullable<NonNullable<Plain<Panel>['fieldConfig']>['overrides']>;
type Typed = { [K in keyof Kinds]: Base & {
  type: K; targets?: Target[]; options: Kinds[K]['options'];
  fieldConfig: { defaults: Defaults & { custom: Kinds[K]['custom'] }; overrides: Overrides };
} }[keyof Kinds];
type Row = Omit<Plain<RowPanel>, 'panels'> & { panels: [] };
type File = Omit<Plain<Dashboard>, 'panels'> & { panels: (Typed | Row)[] };
`;

/** What the compiler says; empty when all is as it should be. */
export function dashboardTypeFaults(files = dashboardFiles()): string {
  const folder = mkdtempSync(join(TOOLS, 'node_modules', 'dashboards-'));
  try {
    const texts = Object.values(files).map((text, i) => `export const dashboard${i}: File = ${text.trim()};\n`);
    const file = join(folder, 'dashboards.ts');
    writeFileSync(file, `${HEAD}${texts.join('')}`);
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--target',
      'es2024',
      '--module',
      'nodenext',
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, [TSC, ...options, '--types', '', file], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (status === 0) return '';
    return stdout + stderr || `the compiler ended with ${status}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

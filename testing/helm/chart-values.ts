/** What the chart takes over from the code: which service reads which variable, and what its value may be. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dashboardFiles } from '../../deployment/grafana/dashboards.ts';
import { type Service, services, type Variable, variables } from '../../platform/config/variables.ts';

export const ROOT = join(import.meta.dirname, '../..');
export const CHART = 'deployment/helm/prompt-orchestrator';

/** Services of the cluster: `cli` and `embedded` are not deployed. */
export const deployed = ['command-api', 'query-api', 'worker', 'projector', 'migrate'] as const;

/** Variables that have values of their own in the chart; all others are given under `config`. */
export const ownValues = {
  APP_ID: 'the service’s name stays',
  PORT: 'Service and probes know it',
  ADMIN_PORT: 'probes know it',
  POSTGRES_URI: 'postgres.uriFrom, postgres.migration.uriFrom',
  POSTGRES_HOST: 'postgres.host',
  POSTGRES_PORT: 'postgres.port',
  POSTGRES_NAME: 'postgres.database',
  POSTGRES_USER: 'postgres.user, postgres.migration.user',
  POSTGRES_PASSWORD: 'postgres.passwordFrom, postgres.migration.passwordFrom',
  POSTGRES_READ_URI: 'postgres.read.uriFrom',
  MIGRATIONS_DIR: 'where the image has them',
  REDIS_URI: 'redis.uri, redis.uriFrom',
  REDIS_PUB_STREAM_ID: 'redis.streams',
  REDIS_SUB_STREAM_ID: 'redis.streams',
  REDIS_RES_STREAM_ID: 'redis.streams',
  NUMBER_OF_WORKERS: 'worker.slots',
  GEMINI_API_KEY: 'provider.apiKeyFrom',
  PRICES_FILE: 'prices',
  SPOOL_DIR: 'worker.spool',
  ARCHIVE_DIR: 'archive.existingClaim',
  SHUTDOWN_GRACE_SECONDS: 'shutdownGraceSeconds of each service',
  SHUTDOWN_DELAY_SECONDS: 'shutdownDelaySeconds of each API',
} as const;

const entries = Object.entries(variables) as [string, Variable<unknown>][];

export function readersOf({ who }: Pick<Variable<unknown>, 'who'>): Service[] {
  if (who === 'all') return [...services];
  return services.filter((service) => who.split(', ').includes(service));
}

const configured = entries.filter(
  ([name, variable]) =>
    !(name in ownValues) && readersOf(variable).some((service) => (deployed as readonly string[]).includes(service)),
);

/** The chart gives a variable of `config` to these services alone. */
export function variablesJson(): string {
  const readers = configured.map(([name, variable]) => [
    name,
    readersOf(variable).filter((service) => (deployed as readonly string[]).includes(service)),
  ]);
  return `${JSON.stringify(Object.fromEntries(readers), null, 2)}\n`;
}

export type Schema = {
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  $ref?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  properties?: Record<string, Schema>;
  $defs?: Record<string, Schema>;
};

const PROMETHEUS_RULES = 'deployment/prometheus/rules';

/** Helm reads nothing outside of the chart: what compose uses too is there as a copy. File in the chart → text. */
export function copiedFiles(): Record<string, string> {
  const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
  const rules = readdirSync(join(ROOT, PROMETHEUS_RULES));
  return Object.fromEntries([
    ['files/haproxy.cfg', read('deployment/docker/haproxy.cfg')],
    ...rules.map((name) => [`files/rules/${name}`, read(`${PROMETHEUS_RULES}/${name}`)] as const),
    ...Object.entries(dashboardFiles()).map(([file, text]) => [`files/dashboards/${basename(file)}`, text] as const),
  ]);
}

export const readSchema = (): Schema =>
  JSON.parse(readFileSync(join(ROOT, CHART, 'values.schema.json'), 'utf8')) as Schema;

/** The schema as it stands, with `config` as the variables are now. */
export function schemaJson(): string {
  const schema = readSchema();
  const properties = configured.map(([name, { parse, about }]) => [
    name,
    { ...(parse.schema ?? { type: 'string' }), description: about.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1') },
  ]);
  schema.properties!['config']!.properties = Object.fromEntries(properties) as Record<string, Schema>;
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** A row for each value that is no object of further values: its path, what it may be, its default, what it is. */
export function valuesReference(): string[][] {
  const schema = JSON.parse(schemaJson()) as Schema;
  return rowsOf(schema, '', schema.$defs ?? {});
}

function rowsOf(schema: Schema, path: string, defs: Record<string, Schema>): string[][] {
  const own = schema.$ref ? { ...defs[schema.$ref.replace('#/$defs/', '')], ...schema } : schema;
  // Of `config` every variable is told, though nothing is its default.
  if (own.properties && (own.default === undefined || path === 'config')) {
    return Object.entries(own.properties).flatMap(([name, property]) =>
      rowsOf(property, path ? `${path}.${name}` : name, defs),
    );
  }
  const standard = own.default === undefined ? '–' : `\`${JSON.stringify(own.default)}\``;
  return [[`\`${path}\``, allowedBy(own), standard, own.description ?? '']];
}

function allowedBy(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ');
  const type = schema.$ref ? 'reference' : [schema.type ?? []].flat().join(' or ');
  const range = [schema.minimum, schema.maximum].map((bound) => bound ?? '').join('…');
  return range === '…' ? type : `${type} ${range}`;
}

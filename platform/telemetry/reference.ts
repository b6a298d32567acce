/** doc/reference/metrics.md, made from what the groups of instruments register. */
import { appendMetrics } from './instruments/appends.ts';
import { attemptMetrics } from './instruments/attempts.ts';
import { connectionMetrics } from './instruments/connections.ts';
import { httpMetrics } from './instruments/http.ts';
import { liveMetrics } from './instruments/live.ts';
import { projectorMetrics, REBUILD_OUTCOMES } from './instruments/projector.ts';
import { promptMetrics } from './instruments/prompts.ts';
import { relayMetrics } from './instruments/relay.ts';
import { streamMetrics } from './instruments/streams.ts';
import { workerMetrics } from './instruments/worker.ts';
import { createMetrics, type Group } from './metrics.ts';

export type MetricsService = 'command-api' | 'query-api' | 'worker' | 'projector';
export type Described = { name: string; type: string; labels: string[]; help: string };

type Section = { title: string; services: MetricsService[]; groups: Group<unknown>[] };

const ALL: MetricsService[] = ['command-api', 'query-api', 'worker', 'projector'];

/** In the order of the page; the first has what every process has. */
const sections: Section[] = [
  { title: 'Requests', services: ['command-api', 'query-api'], groups: [httpMetrics] },
  { title: 'Prompts', services: ['command-api', 'worker'], groups: [promptMetrics] },
  { title: 'Outbox, relay and sweeper', services: ['command-api'], groups: [relayMetrics] },
  { title: 'Streams', services: ['command-api', 'projector'], groups: [streamMetrics] },
  { title: 'Attempts', services: ['worker'], groups: [workerMetrics] },
  { title: 'Attempts on record, tokens and cost', services: ['command-api', 'worker'], groups: [attemptMetrics] },
  { title: 'Read models, rebuilds and ledger', services: ['projector'], groups: [projectorMetrics] },
  { title: 'Live feed', services: ['query-api'], groups: [liveMetrics] },
  { title: 'Appends', services: ['command-api', 'worker'], groups: [appendMetrics] },
  { title: 'Connections', services: ALL, groups: [connectionMetrics] },
];

/** What bounds each label; `service` and `application` are on every value. */
export const labelBounds: Record<string, string> = {
  account: '`confirmed`, `wasted`, `unknown`; of the ledger `reserved` too',
  code: 'codes of [errors](errors.md)',
  emulated: '`true`, `false`',
  end: '`completed`, `retry`, `failed`, `unknown`, `not_called`, `parked`',
  group: 'consumer groups: `workers`, `projector`',
  kind: 'of garbage collections, as Node names them',
  lane: '`interactive`, `normal`, `batch`',
  major: 'of Node’s version',
  method: 'of HTTP',
  metric: 'of those listed here',
  minor: 'of Node’s version',
  model: 'the models served (`GET /models`)',
  outcome: REBUILD_OUTCOMES.map((outcome) => `\`${outcome}\``).join(', '),
  patch: 'of Node’s version',
  phase: '`folding`, `indexing`, `catching_up`, `comparing`',
  pool: 'a handful, by what they are for',
  projection: 'the projections of this release',
  purpose: 'a handful, by what they are for',
  reason: '`breaker`, `daily_quota`, `bad_key`, `billing`',
  route: 'the routes’ patterns, `none` for an unknown address',
  space: 'of the heap, as V8 names them',
  state: 'of the outbox: `waiting`, `parked`, `scheduled`, `dispatched`, `running`; of a pool: `used`, `idle`',
  status: 'of HTTP; of a prompt `completed`, `failed`, `cancelled`, `expired`',
  stream: '`tasks`, `results`, or as they are configured',
  type: 'of a token: `input`, `cached_input`, `output`, `thought`; of a handle, request or resource: as Node names them',
  version: 'of Node',
};

/** Registered by these groups, beyond what every process has. */
function describe(groups: Group<unknown>[]): Described[] {
  const metrics = createMetrics('reference');
  const before = new Set(metrics.registry.getMetricsAsArray().map(({ name }) => name));
  for (const group of groups) metrics.of(group);
  return all(metrics.registry).filter(({ name }) => groups.length === 0 || !before.has(name));
}

function all(registry: ReturnType<typeof createMetrics>['registry']): Described[] {
  return registry.getMetricsAsArray().map((metric) => {
    const {
      name,
      help,
      type,
      labelNames = [],
    } = metric as unknown as Omit<Described, 'labels'> & {
      labelNames?: string[];
    };
    return { name, help, type, labels: [...labelNames] };
  });
}

/** Of one service, as its admin port has them. */
export const metricsOf = (service: MetricsService): Described[] => [
  ...describe([]),
  ...sections.filter(({ services }) => services.includes(service)).flatMap(({ groups }) => describe(groups)),
];

export function metricsReference(): string {
  const rows = (described: Described[]) => [
    '| metric | type | labels | what |',
    '|---|---|---|---|',
    ...described.map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ') || '–'} | ${help} |`,
    ),
  ];
  return `${[
    '# Metrics',
    '',
    'Made by `npm run docs` from `platform/telemetry/instruments`. Each process serves them on its admin port under `/metrics`, in Prometheus’ text format, or as OpenMetrics with trace ids as exemplars for whoever accepts that. Every value has the labels `service` and `application="prompt-orchestrator"`. Durations are seconds, cost is nano-USD. A value that is read when it is scraped is absent while it cannot be read.',
    '',
    ...sections.flatMap(({ title, services, groups }) => [
      `## ${title}`,
      '',
      `Of ${services.join(', ')}.`,
      '',
      ...rows(describe(groups)),
      '',
    ]),
    '## Every process',
    '',
    ...rows(describe([])),
    '',
    '## Labels',
    '',
    'All are bounded: no prompt, user, key or address is ever a label.',
    '',
    '| label | values |',
    '|---|---|',
    ...Object.entries(labelBounds).map(([label, bounds]) => `| \`${label}\` | ${bounds} |`),
  ].join('\n')}\n`;
}

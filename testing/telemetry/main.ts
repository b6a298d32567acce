/**
 * `npm run telemetry`, after the sums that dashboards read (dashboard-sql.check.ts): alerts by promtool, dashboards against
 * Grafana's types, then the services and a real Prometheus under load. What was counted must be what Postgres has; then
 * things go wrong on purpose, and the metrics must tell. Every query of every dashboard must give something, and is printed
 * with its value; exemplars must lead to traces that were exported, and every rule must be evaluated. Exits 1 when anything
 * is amiss.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { metricsOf } from '../../platform/telemetry/reference.ts';
import type { After } from '../kit/database.ts';
import { subscribe } from '../kit/feed.ts';
import { until } from '../kit/until.ts';
import { checkAtRest } from './at-rest.ts';
import { dashboardTypeFaults } from './dashboard-types.ts';
import { makeHappen } from './happenings.ts';
import { makeLoad } from './load.ts';
import { type Answered, askPostgres, askPrometheus, panels, parseTraceql } from './panels.ts';
import { type Prometheus, promtool, startPrometheus } from './prometheus.ts';
import { SERVICES, type System, startSystem } from './system.ts';
import { installTools } from './tools.ts';

const ROOT = join(import.meta.dirname, '../..');
const LOAD_SECONDS = 12;
/** What nothing here makes happen: an event of a newer release, and one that cannot be folded. */
const STILL = ['sweeper_unreadable_prompts_total', 'projector_parked_streams'];
/** Of one process: more would be a label without bounds. */
const MOST_SERIES = 2_500;

/** What has gone wrong by the end of a run tells so, and nothing else does. */
const ALERTS = [
  { what: 'fires, for the sum that was changed', is: ['firing'], names: ['LedgerMismatch'] },
  {
    what: 'is about to fire',
    is: ['pending', 'firing'],
    names: ['ModelParked', 'ServiceDown', 'GatewayErrors', 'HttpErrors'],
  },
  {
    what: 'is quiet',
    is: ['inactive'],
    names: ['NoWorkers', 'NoRelayLeads', 'NoQueryApi', 'StuckPrompts', 'ParkedStreams', 'LedgerNotAudited'],
  },
];

const faults: string[] = [];
const releases: (() => Promise<void>)[] = [];
const t: After = { after: (release) => void releases.push(release) };

function expect(what: string, holds: boolean, detail = ''): void {
  console.log(`${holds ? 'ok' : 'NOT OK'}  ${what}${detail && `: ${detail}`}`);
  if (!holds) faults.push(`${what}${detail && `: ${detail}`}`);
}

function checkFiles(): void {
  const rules = readdirSync(join(ROOT, 'deployment/prometheus/rules')).map(
    (file) => `deployment/prometheus/rules/${file}`,
  );
  console.log(promtool('check', 'rules', ...rules).trim());
  console.log(promtool('test', 'rules', 'deployment/prometheus/tests/alerts.yml').trim());
  const wrong = dashboardTypeFaults();
  expect('dashboards have the fields and types that Grafana knows', wrong === '', wrong);
}

async function underLoad(system: System, prometheus: Prometheus): Promise<number> {
  const [admin] = system.users;
  const address = (name: (typeof SERVICES)[number]) => `http://127.0.0.1:${system.services[name].port}`;
  const feeds = await Promise.all(system.users.map(({ key }) => subscribe(address('query-api'), key)));
  t.after(async () => {
    for (const feed of feeds) feed.close();
  });
  const raw = { address: address('command-api'), key: admin!.key };
  const accepted = makeLoad({ users: system.users, raw, seconds: LOAD_SECONDS, seed: 5 });
  const rebuild = await fetch(`${raw.address}/projections/prompts/rebuilds`, {
    method: 'POST',
    headers: { authorization: `Bearer ${admin!.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ dryRun: false }),
  });
  expect('a rebuild was asked for', rebuild.status === 202, String(rebuild.status));
  const count = await accepted;
  const is = (expression: string) => async () => (await prometheus.value(expression)) > 0;
  // One prompt waits until its model's quota starts anew.
  await until('all but one prompt have ended', is(`sum(prompts_ended_total) >= bool ${count - 1}`), 60_000);
  await until('the ledger was audited', is('ledger_audited_timestamp_seconds > bool 0'), 60_000);
  await until('a rebuild has ended', is('max(rebuild_last_outcome)'), 60_000);
  return count;
}

function report(answered: Answered[]): void {
  for (const { where, kind, query, value } of answered) {
    console.log(`${value ?? 'NOTHING'}\n    ${where} [${kind}]\n    ${query}`);
    if (value === null) faults.push(`${where} gives nothing: ${query}`);
  }
  const unmoved = answered.filter(({ still, query }) => still && !STILL.some((metric) => query.includes(metric)));
  for (const { where, query } of unmoved) faults.push(`${where} was 0 all the time: ${query}`);
  const idle = STILL.filter((metric) => !answered.some(({ still, query }) => still && query.includes(metric)));
  for (const metric of idle) faults.push(`${metric} is not 0 all the time any more`);
}

async function checkExemplars(system: System, prometheus: Prometheus, asked: Answered[], since: number): Promise<void> {
  const traced = [...new Set(asked.filter(({ exemplars }) => exemplars).map(({ query }) => query))];
  const exported = new Set(system.collector.spans.map(({ traceId }) => traceId));
  for (const query of traced) {
    const found = await prometheus.exemplars(query, since);
    const known = found.filter(({ traceId }) => exported.has(traceId)).length;
    expect(`exemplars lead to traces: ${query}`, known > 0, `${known} of ${found.length}`);
  }
}

async function checkScrapes(system: System, prometheus: Prometheus): Promise<void> {
  for (const name of SERVICES) {
    const text = await (await fetch(`http://127.0.0.1:${system.services[name].adminPort}/metrics`)).text();
    const served = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]).sort();
    const told = metricsOf(name)
      .map((metric) => metric.name)
      .sort();
    expect(
      `${name} serves what the reference lists, and nothing else`,
      String(served) === String(told),
      `${told.length}`,
    );
    const series = await prometheus.value(`scrape_samples_scraped{job="${name}"}`);
    expect(`${name} has bounded labels`, series > 0 && series < MOST_SERIES, `${series} series`);
    const seconds = await prometheus.value(`scrape_duration_seconds{job="${name}"}`);
    expect(`${name} is scraped at once`, seconds < 5, `${seconds.toFixed(3)} s`);
  }
  const unread = await prometheus.vector('sum by (metric) (metrics_read_failures_total) > 0');
  const times = Math.max(0, ...unread.map(({ value }) => value));
  const which = unread.map(({ metric, value }) => `${metric['metric']} ${value} times not`).join(', ');
  expect('values could be read', times < 5, which);
}

async function checkRules(prometheus: Prometheus): Promise<void> {
  const rules = await prometheus.rules();
  for (const { name, health, lastError = '' } of rules) {
    if (health !== 'ok') faults.push(`the rule ${name} is ${health}: ${lastError}`);
  }
  expect(
    `rules are evaluated`,
    rules.every(({ health }) => health === 'ok'),
    String(rules.length),
  );
  // All at one time: a scrape is given a second, and one that is missed has every absent() of its service pending.
  let states = new Map<string, string>();
  const as = ({ is, names }: (typeof ALERTS)[number]) => names.every((name) => is.includes(states.get(name) ?? ''));
  const settled = async () => {
    states = await prometheus.alertStates();
    return ALERTS.every(as);
  };
  await until('alerts are as they should be', settled, 20_000).catch(() => false);
  for (const { what, is, names } of ALERTS) {
    for (const name of names) {
      const state = states.get(name) ?? 'missing';
      expect(`${name} ${what}`, is.includes(state), state);
    }
  }
}

async function run(): Promise<void> {
  installTools();
  checkFiles();
  const folder = mkdtempSync(join(tmpdir(), 'orchestrator-telemetry-'));
  t.after(async () => rmSync(folder, { recursive: true, force: true }));
  const system = await startSystem(t, ROOT);
  const prometheus = await startPrometheus(t, folder, system.jobs);
  const scene = { system, prometheus, expect };
  const since = Date.now() / 1000;
  const count = await underLoad(system, prometheus);
  await checkScrapes(system, prometheus);
  await checkAtRest(scene);
  await makeHappen(scene);
  const answered = await askPrometheus(prometheus, system.reader, since);
  const hour = 3_600_000;
  answered.push(...(await askPostgres(system.reader, new Date(since * 1000 - hour), new Date(Date.now() + hour))));
  answered.push(...parseTraceql());
  report(answered);
  await checkExemplars(system, prometheus, answered, since);
  await checkRules(prometheus);
  console.log(`${count} prompts, ${panels.length} panels, ${answered.length} queries, ${faults.length} faults`);
}

try {
  await run();
} catch (error) {
  faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  for (const release of releases.reverse()) await release();
}
for (const fault of faults) console.error(`FAULT  ${fault}`);
process.exitCode = faults.length > 0 ? 1 : 0;

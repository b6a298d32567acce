/** Alerts, dashboards and metrics name each other: a metric renamed in one place only is found here. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { dashboards } from '../deployment/grafana/dashboards.ts';
import { APPLICATION } from '../platform/telemetry/metrics.ts';
import { labelBounds, type MetricsService, metricsOf } from '../platform/telemetry/reference.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const rules = readdirSync(join(ROOT, 'deployment/prometheus/rules')).map((file) =>
  read(`deployment/prometheus/rules/${file}`),
);
const alerts = rules.flatMap((text) => [...text.matchAll(/^ +- alert: (\w+)$/gm)].map((match) => match[1]!));
const recorded = rules.flatMap((text) => [...text.matchAll(/^ +- record: (\S+)$/gm)].map((match) => match[1]!));

const SERVICES: MetricsService[] = ['command-api', 'query-api', 'worker', 'projector'];
/** Series of every metric, with the labels that it may have. */
const known = new Map<string, Set<string>>();
for (const { name, type, labels } of SERVICES.flatMap(metricsOf)) {
  const names = type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => `${name}${end}`) : [name];
  for (const one of names) known.set(one, new Set([...labels, 'service', 'application', 'job', 'instance', 'le']));
}
/** Of Prometheus itself and of the programs beside the services; `npm run telemetry` asks HAProxy for its own. */
const FOREIGN: Record<string, string[]> = {
  up: ['job', 'instance'],
  ALERTS: ['alertname', 'alertstate', 'severity'],
  haproxy_backend_http_responses_total: ['proxy', 'code'],
  haproxy_server_http_responses_total: ['proxy', 'server', 'code'],
  haproxy_backend_active_servers: ['proxy'],
  otelcol_exporter_send_failed_spans: ['exporter'],
  otelcol_exporter_send_failed_spans_total: ['exporter'],
  otelcol_exporter_enqueue_failed_spans: ['exporter'],
  otelcol_exporter_enqueue_failed_spans_total: ['exporter'],
};
for (const [name, labels] of Object.entries(FOREIGN)) known.set(name, new Set([...labels, 'application']));
for (const name of recorded) known.set(name, new Set(['service', 'model', 'proxy', 'exporter', 'application']));
/** The budget is a number of our own; what `up` is of tells the rule itself. */
const UNSCOPED = new Set(['prompt:budget_usd:day', 'up']);

const KEYWORDS = new Set(['or', 'and', 'unless', 'by', 'on', 'without', 'ignoring', 'bool', 'offset', 'group_left']);

/** Every metric of an expression, with the labels it is asked by. */
function metricsIn(expression: string): { name: string; labels: string[] }[] {
  const bare = expression.replace(/\b(by|on|without) \([^)]*\)/g, '').replace(/\[[^\]]*\]/g, '');
  return [...bare.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\w|\s*\()/g)]
    .filter(([, name = '']) => !KEYWORDS.has(name))
    .map(([, name = '', matchers = '']) => ({
      name,
      labels: [...matchers.matchAll(/([\w]+)\s*(?:=~|!~|!=|=)/g)].map((match) => match[1]!),
    }));
}

function unknownIn(where: string, expression: string): string[] {
  const found = metricsIn(expression.replace(/"[^"]*"/g, '""').replaceAll(/\b\d+(\.\d+)?(e\d+)?\b/g, '0'));
  assert.ok(found.length > 0, `${where}: no metric is named in ${expression}`);
  return found.flatMap(({ name, labels }) => {
    const of = known.get(name);
    if (!of) return [`${where}: ${name} is no metric`];
    return labels.filter((label) => !of.has(label)).map((label) => `${where}: ${name} has no label ${label}`);
  });
}

/** Metrics that others may have too: one Prometheus scrapes many applications, and ours must not speak of theirs. */
function unscopedIn(where: string, expression: string): string[] {
  const others = [...expression.matchAll(/application="([^"]*)"/g)].filter(([, value]) => value !== APPLICATION);
  const bare = expression.replace(/"[^"]*"/g, '""').replaceAll(/\b\d+(\.\d+)?(e\d+)?\b/g, '0');
  return [
    ...others.map(([text]) => `${where}: ${text}`),
    ...metricsIn(bare)
      .filter(({ name, labels }) => !UNSCOPED.has(name) && !labels.includes('application'))
      .map(({ name }) => `${where}: ${name} of anybody`),
  ];
}

describe('a metric', () => {
  test('has labels whose values are bounded, each with its bounds in the reference', () => {
    const used = new Set(SERVICES.flatMap(metricsOf).flatMap(({ labels }) => labels));
    assert.deepEqual([...used].sort(), Object.keys(labelBounds).sort());
  });

  test('is named as Prometheus wants it, where the name is ours', () => {
    const ours = SERVICES.flatMap(metricsOf).filter(({ name }) => !/^(nodejs|process)_/.test(name));
    assert.ok(ours.length > 50);
    for (const { name, type } of ours) {
      assert.match(name, /^[a-z][a-z0-9_]*[a-z0-9]$/);
      assert.equal(type === 'counter', name.endsWith('_total'), name);
    }
  });
});

test('a metric or a label that is none is found', () => {
  assert.deepEqual(unknownIn('here', 'sum by (lane) (rate(nothing_total{x="up or down"}[5m])) > 0.5 or vector(0)'), [
    'here: nothing_total is no metric',
  ]);
  assert.deepEqual(unknownIn('here', 'max(outbox_prompts{lane="batch", user=~".+"}) / on () up'), [
    'here: outbox_prompts has no label user',
  ]);
  const mixed = 'max(workers_live) / max(workers_slots{application="prompt-orchestrator"}) > on () x{application="a"}';
  assert.deepEqual(unscopedIn('here', mixed), ['here: application="a"', 'here: workers_live of anybody']);
});

/** Of an expression: those between its outermost `or`s. */
function alternativesOf(expression: string): number {
  let bare = expression.replace(/\{[^}]*\}/g, '');
  while (/\([^()]*\)/.test(bare)) bare = bare.replace(/\([^()]*\)/g, '');
  return 1 + [...bare.matchAll(/\bor\b/g)].length;
}

describe('an alert', () => {
  test('has a section in the how-to, and no section is of an alert that is none', () => {
    const sections = [...read('doc/how-to/answer-alerts.md').matchAll(/^## (\w+)$/gm)].map((match) => match[1]);
    assert.ok(alerts.length > 20);
    assert.deepEqual(sections.toSorted(), alerts.toSorted());
    const runbooks = rules.flatMap((text) => [...text.matchAll(/^ +runbook: (\S+)$/gm)].map((match) => match[1]!));
    assert.deepEqual(
      runbooks,
      alerts.map((name) => `doc/how-to/answer-alerts.md#${name.toLowerCase()}`),
    );
  });

  test('is of our application, and says so', () => {
    for (const text of rules) {
      assert.equal(
        text.match(/^ +- alert: /gm)?.length,
        text.match(/labels: \{ severity: \w+, application: prompt-orchestrator \}/g)?.length,
      );
    }
    const recordings = read('deployment/prometheus/rules/recordings.yml');
    assert.equal(
      recordings.match(/^ +- record: /gm)?.length,
      recordings.match(/labels: \{ application: prompt-orchestrator \}/g)?.length,
    );
  });

  test('is tested by each of its ways to fire', () => {
    const text = read('deployment/prometheus/tests/alerts.yml');
    const ways = rules.flatMap((rule) =>
      [...rule.matchAll(/- alert: (\w+)\n(?: +#.*\n)*( +)expr: (?:\|\n((?:\2 {2}.*\n)+)|(.+)\n)/g)].map(
        ([, name, , block, line]) => ({ name: name!, count: alternativesOf(block ?? line ?? '') }),
      ),
    );
    assert.equal(ways.length, alerts.length);
    assert.ok(ways.some(({ count }) => count === 3));
    for (const { name, count } of ways) {
      const firing = [...text.matchAll(new RegExp(`alertname: ${name}\\n +exp_alerts:\\n +- exp_labels`, 'g'))].length;
      assert.ok(firing >= count, `${name} fires ${firing} times in ${count} ways`);
    }
  });

  test('is tested quiet and firing', () => {
    const text = read('deployment/prometheus/tests/alerts.yml');
    for (const name of alerts) {
      assert.ok(text.includes(`alertname: ${name}, exp_alerts: [] }`), `${name} is never quiet`);
      assert.match(text, new RegExp(`alertname: ${name}\\n +exp_alerts:\\n +- exp_labels`), `${name} never fires`);
    }
  });

  test('and a recording read metrics that there are, by labels that they have', () => {
    const expressions = rules.flatMap((text) =>
      [...text.matchAll(/^( +)expr: (?:\|\n((?:\1 {2}.*\n)+)|(.+)\n)/gm)].map((match) => match[2] ?? match[3] ?? ''),
    );
    assert.equal(expressions.length, alerts.length + recorded.length);
    const constant = expressions.filter((expression) => /^vector\(\d+\)$/.test(expression));
    assert.equal(constant.length, 1);
    const read = expressions.filter((one) => !constant.includes(one));
    assert.deepEqual(
      read.flatMap((expression) => unknownIn('rules', expression)),
      [],
    );
    assert.deepEqual(
      read.flatMap((expression) => unscopedIn('rules', expression)),
      [],
    );
  });
});

describe('a dashboard', () => {
  const panels = dashboards.flatMap(({ title, rows }) =>
    rows.flatMap((row) => row.panels.map((panel) => ({ where: `${title} / ${panel.title}`, panel }))),
  );

  test('reads metrics that there are, by labels that they have', () => {
    const expressions = panels.flatMap(({ where, panel }) =>
      panel.queries.flatMap((query) => (query.kind === 'promql' ? [{ where, text: query.text }] : [])),
    );
    assert.ok(expressions.length > 60);
    assert.deepEqual(
      expressions.flatMap(({ where, text }) => unknownIn(where, text)),
      [],
    );
    assert.deepEqual(
      expressions.flatMap(({ where, text }) => unscopedIn(where, text)),
      [],
    );
  });

  test('has panels that say what they show, of another name each, and that fit its width', () => {
    for (const { where, panel } of panels) {
      assert.ok(panel.kind === 'text' ? panel.markdown !== '' : panel.about !== '' && panel.queries.length > 0, where);
      assert.ok(panel.width > 0 && panel.width <= 24, where);
    }
    const names = panels.map(({ where }) => where);
    assert.equal(new Set(names).size, names.length);
    assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length);
  });

  test('fills each line of a screen of 24, or leaves it to the last line of its row', () => {
    for (const { title, rows } of dashboards) {
      for (const row of rows) {
        const widths = row.panels.map(({ width }) => width);
        const lines: number[] = [];
        for (const width of widths) {
          const last = lines.at(-1);
          if (last !== undefined && last + width <= 24) lines.splice(-1, 1, last + width);
          else lines.push(width);
        }
        assert.ok(
          lines.slice(0, -1).every((width) => width === 24),
          `${title} / ${row.title}: ${lines}`,
        );
      }
    }
  });
});

/** What a cluster is watched with: jobs by the services' names, the rules and the dashboards that compose has too. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { dashboards } from '../../deployment/grafana/dashboards.ts';
import { ROOT } from './chart-values.ts';
import { find, manifestsOf, ofKind, podsOf, render, valuesFile } from './helm.ts';
import { yaml } from './tools.ts';

type Group = { name: string; rules: { record?: string; expr: string }[] };
const RULES = 'deployment/prometheus/rules';
const groupsOf = (file: string): Group[] =>
  (yaml().parse(readFileSync(join(ROOT, RULES, file), 'utf8')) as { groups: Group[] }).groups;
const groups = readdirSync(join(ROOT, RULES)).sort().flatMap(groupsOf);
const budgetOf = (all: Group[]): string =>
  all.flatMap(({ rules }) => rules).find(({ record }) => record === 'prompt:budget_usd:day')!.expr;

describe('the Prometheus operator', () => {
  test('scrapes jobs that are named as those of compose', () => {
    const { spec } = find(manifestsOf('everything'), 'PodMonitor');
    const jobs = podsOf(manifestsOf('everything'))
      .filter(({ container }) => container.ports?.some(({ name }) => name === spec.podMetricsEndpoints[0].port))
      .map(({ labels }) => labels[spec.jobLabel]);
    const compose = readFileSync(join(ROOT, 'deployment/prometheus/prometheus.yml'), 'utf8');
    const { scrape_configs: scraped } = yaml().parse(compose) as { scrape_configs: { job_name: string }[] };
    const names = scraped.map(({ job_name: job }) => job);
    assert.deepEqual(jobs.sort(), ['command-api', 'gateway', 'projector', 'query-api', 'worker']);
    assert.deepEqual(
      jobs.filter((job) => !names.includes(job!)),
      [],
    );
  });

  test('puts on what the gateway tells the label that rules and dashboards ask for, as compose does', () => {
    const { spec } = find(manifestsOf('everything'), 'PodMonitor');
    const [{ sourceLabels, regex, targetLabel, replacement }] = spec.podMetricsEndpoints[0].relabelings;
    assert.deepEqual(sourceLabels, [`__meta_kubernetes_pod_label_${spec.jobLabel.replaceAll(/[./-]/g, '_')}`]);
    const compose = readFileSync(join(ROOT, 'deployment/prometheus/prometheus.yml'), 'utf8');
    const { scrape_configs: scraped } = yaml().parse(compose) as {
      scrape_configs: { job_name: string; static_configs?: { labels: Record<string, string> }[] }[];
    };
    const labels = scraped.find(({ job_name: job }) => job === regex)?.static_configs?.[0]?.labels;
    assert.deepEqual(labels, { [targetLabel]: replacement });
  });

  test('gets the rules as they are, with the budget of the values', () => {
    const made = find(manifestsOf('everything'), 'PrometheusRule').spec.groups as Group[];
    assert.equal(budgetOf(made), 'vector(12.5)');
    const standard = render(valuesFile('minimal'), JSON.stringify({ prometheusRule: { enabled: true } }));
    assert.deepEqual(find(standard, 'PrometheusRule').spec.groups, groups);
    assert.ok(groups.flatMap(({ rules }) => rules).length > 20);
  });
});

test('Grafana gets every dashboard, found by its label', () => {
  const maps = ofKind(manifestsOf('everything'), 'ConfigMap').filter(
    ({ metadata }) => metadata.labels?.['grafana_dashboard'] === '1',
  );
  const made = maps.flatMap(({ data = {}, metadata }) => {
    assert.equal(metadata.annotations?.['grafana_folder'], 'Prompts');
    return Object.entries(data).map(([file, text]) => [file, (JSON.parse(text) as { uid: string }).uid]);
  });
  const expected = dashboards.map(({ title, uid }) => [`${title.toLowerCase()}.json`, uid]);
  assert.deepEqual(made.sort(), expected.sort());
});

test('nothing of it is made where it is not asked for', () => {
  const kinds = manifestsOf('minimal').map(({ kind }) => kind);
  assert.ok(!kinds.includes('PodMonitor') && !kinds.includes('PrometheusRule'));
  const maps = ofKind(manifestsOf('minimal'), 'ConfigMap').map(({ metadata }) => metadata.name);
  assert.deepEqual(maps, ['prompts-prompt-orchestrator-gateway']);
});

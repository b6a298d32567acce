/** What Prometheus, the collector, Tempo and Grafana are started with: each names what is there, and nothing else. */
import assert from 'node:assert/strict';
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadConfig } from '../../platform/config/load.ts';
import type { Service } from '../../platform/config/variables.ts';
import { environmentFiles, environmentOf, readCompose, readText, readYaml } from './compose-file.ts';
import { programOf, ROOT, type Verdict, verdictOf } from './tools.ts';

const compose = readCompose();
const [promtool, ...leading] = programOf('promtool');
const isService = (address: string) => (address.split(':')[0] ?? '') in compose.services;

const work = mkdtempSync(join(tmpdir(), 'orchestrator-telemetry-'));
after(() => rmSync(work, { recursive: true, force: true }));

describe('the configuration of Prometheus', () => {
  const FILE = 'deployment/prometheus/prometheus.yml';
  type Job = {
    job_name: string;
    dns_sd_configs?: { names: string[]; port: number }[];
    static_configs?: { targets: string[] }[];
  };
  const { scrape_configs: jobs } = readYaml(FILE) as { scrape_configs: Job[] };
  const check = (file: string): Verdict => verdictOf(promtool, [...leading, 'check', 'config', file]);

  test('is one, with its rules', () => {
    const { status, said } = check(FILE);
    assert.equal(status, 0, said);
  });

  test('would not be one with a key that nobody knows', () => {
    const broken = join(work, 'prometheus.yml');
    writeFileSync(broken, readText(FILE).replace('scrape_interval', 'scrape_intervall'));
    const { status, said } = check(broken);
    assert.equal(status, 1);
    assert.match(said, /scrape_intervall/);
  });

  test('scrapes every replica of every service on its port for operators', () => {
    for (const name of ['command-api', 'query-api', 'worker', 'projector'] satisfies Service[]) {
      const { ADMIN_PORT } = loadConfig(name, environmentOf(compose.services[name]!, environmentFiles()));
      const found = jobs.find(({ job_name }) => job_name === name)?.dns_sd_configs;
      assert.deepEqual(
        found?.map(({ names, port }) => ({ names, port })),
        [{ names: [name], port: ADMIN_PORT }],
      );
    }
  });

  test('names no target that there is not', () => {
    const targets = jobs.flatMap(({ static_configs = [] }) => static_configs.flatMap((one) => one.targets));
    assert.ok(targets.length > 0);
    assert.deepEqual(
      targets.filter((target) => !isService(target)),
      ['localhost:9090'],
    );
  });
});

describe('the configuration of the collector', () => {
  type Parts = Record<string, unknown>;
  type Pipeline = { receivers: string[]; processors: string[]; exporters: string[] };
  const config = readYaml('deployment/otel/collector.yml') as {
    receivers: Parts;
    processors: Parts;
    exporters: Record<string, { endpoint: string }>;
    service: { pipelines: Record<string, Pipeline> };
  };
  const pipelines = Object.values(config.service.pipelines);

  for (const kind of ['receivers', 'processors', 'exporters'] as const) {
    test(`declares the ${kind} of its pipelines, and uses all that it declares`, () => {
      const used = new Set(pipelines.flatMap((pipeline) => pipeline[kind]));
      assert.deepEqual([...used].sort(), Object.keys(config[kind]).sort());
    });
  }

  test('refuses before memory runs out, and only then gathers', () => {
    for (const { processors } of pipelines) assert.deepEqual(processors, ['memory_limiter', 'batch']);
  });

  test('sends to stores that there are, by exporters that are not about to go', () => {
    for (const [id, { endpoint }] of Object.entries(config.exporters)) {
      assert.ok(isService(endpoint), endpoint);
      assert.match(id, /^otlp_(grpc|http)\//);
    }
    const { distributor } = readYaml('deployment/otel/tempo.yml') as {
      distributor: { receivers: { otlp: { protocols: { grpc: { endpoint: string } } } } };
    };
    const [, port] = config.exporters['otlp_grpc/tempo']?.endpoint.split(':') ?? [];
    assert.equal(distributor.receivers.otlp.protocols.grpc.endpoint, `0.0.0.0:${port}`);
  });
});

describe('the configuration of Tempo', () => {
  const config = readYaml('deployment/otel/tempo.yml') as {
    storage: { trace: { wal: { path: string }; local: { path: string } } };
    metrics_generator: { storage: { path: string; remote_write: { url: string }[] } };
  };

  test('has no block that its third version took away', () => {
    const gone = ['ingester', 'ingester_client', 'compactor', 'metrics_generator_client'];
    assert.deepEqual(
      Object.keys(config).filter((key) => gone.includes(key)),
      [],
    );
  });

  test('keeps everything on its volume', () => {
    const mounts = compose.services['tempo']?.volumes ?? [];
    const folder = mounts.find((mount) => mount.startsWith('tempo:'))?.split(':')[1];
    assert.ok(folder);
    const { trace } = config.storage;
    for (const path of [trace.wal.path, trace.local.path, config.metrics_generator.storage.path])
      assert.ok(path.startsWith(`${folder}/`), path);
  });

  test('writes to a Prometheus that takes it', () => {
    for (const { url } of config.metrics_generator.storage.remote_write) {
      const { hostname } = new URL(url);
      assert.ok(compose.services[hostname]?.command?.includes('--web.enable-remote-write-receiver'), url);
    }
  });
});

describe('what Grafana is provisioned with', () => {
  type Source = { uid: string; url: string; user?: string; jsonData?: Record<string, unknown> };
  const FOLDER = 'deployment/grafana/provisioning';
  const { datasources } = readYaml(`${FOLDER}/datasources/datasources.yml`) as { datasources: Source[] };
  const uids = datasources.map(({ uid }) => uid);
  /** Values of `key` anywhere below. */
  const valuesOf = (key: string, value: unknown): unknown[] =>
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([name, inner]) => (name === key ? [inner] : valuesOf(key, inner)));

  test('are data sources that there are, under names of their own', () => {
    assert.equal(new Set(uids).size, uids.length);
    for (const { url } of datasources) assert.ok(isService(url.replace(/^http:\/\//, '')), url);
  });

  test('jumps between data sources that are provisioned', () => {
    const targets = datasources.flatMap(({ jsonData }) => valuesOf('datasourceUid', jsonData));
    assert.ok(targets.length >= 2);
    for (const uid of targets) assert.ok(uids.includes(String(uid)), String(uid));
  });

  test('has the data sources that dashboards name', () => {
    assert.deepEqual(uids, ['prometheus', 'tempo', 'jaeger', 'postgres']);
    for (const file of globSync('deployment/grafana/dashboards/*.json', { cwd: ROOT })) {
      const sources = valuesOf('datasource', JSON.parse(readText(file))) as ({ uid?: string } | null)[];
      for (const source of sources) assert.ok(uids.includes(source?.uid ?? ''), `${file}: ${JSON.stringify(source)}`);
    }
  });

  test('logs in to the database by the role that compose makes, and knows no other', () => {
    const { user, jsonData, secureJsonData } = datasources.find(({ uid }) => uid === 'postgres') as Source & {
      secureJsonData: Record<string, string>;
    };
    assert.match(readText('deployment/docker/dashboard-login.sql'), new RegExp(`^ALTER ROLE ${user} LOGIN`, 'm'));
    const { environment, entrypoint } = compose.services['grafana']!;
    assert.equal(jsonData?.['database'], '$POSTGRES_NAME');
    assert.equal(secureJsonData['password'], '$DASHBOARD_PASSWORD');
    const password = compose.services['dashboard-login']?.environment?.['DASHBOARD_PASSWORD'];
    assert.ok(password);
    assert.equal(environment?.['DASHBOARD_PASSWORD'], password);
    assert.match(entrypoint?.at(-1) ?? '', /^unset POSTGRES_URI POSTGRES_USER POSTGRES_PASSWORD; exec /);
  });

  test('lies where it looks', () => {
    const { volumes = [], environment = {} } = compose.services['grafana']!;
    const mount = volumes.find((one) => one.startsWith('../grafana:'))?.split(':')[1];
    assert.equal(environment['GF_PATHS_PROVISIONING'], `${mount}/provisioning`);
    const { providers } = readYaml(`${FOLDER}/dashboards/dashboards.yml`) as {
      providers: { options: { path: string } }[];
    };
    assert.deepEqual(
      providers.map(({ options }) => options.path),
      [`${mount}/dashboards`],
    );
  });
});

/** A real Prometheus: on PATH, else unpacked from the distribution's package, not installed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../deployment/local/servers/free-port.ts';
import { unpackedProgram, unpackPackages } from '../../deployment/local/servers/unpack-packages.ts';
import type { After } from '../kit/database.ts';
import { until } from '../kit/until.ts';

const ROOT = join(import.meta.dirname, '../..');
const RULES = join(ROOT, 'deployment/prometheus/rules');

export type Series = { metric: Record<string, string>; values: [time: number, value: string][] };
export type Rule = { name: string; type: string; health: string; state?: string; lastError?: string };

export type Prometheus = {
  /** Each second from `since` until now; times are Unix seconds. */
  range: (expression: string, since: number) => Promise<Series[]>;
  /** The newest value of each series. */
  vector: (expression: string) => Promise<{ metric: Record<string, string>; value: number }[]>;
  /** The newest value of the first series; NaN without one. */
  value: (expression: string) => Promise<number>;
  exemplars: (expression: string, since: number) => Promise<{ traceId: string }[]>;
  rules: () => Promise<Rule[]>;
  /** Of each alert: inactive, pending or firing. */
  alertStates: () => Promise<Map<string, string>>;
};

function find(name: 'prometheus' | 'promtool'): [command: string, ...args: string[]] {
  if (spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return [name];
  const root = join(ROOT, '.cache/prometheus');
  unpackPackages(root, ['prometheus']);
  return unpackedProgram(root, `usr/bin/${name}`);
}

/** Throws with what it said unless it was content. */
export function promtool(...args: string[]): string {
  const [command, ...leading] = find('promtool');
  const { status, stdout, stderr } = spawnSync(command, [...leading, ...args], { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`promtool ${args.join(' ')}:\n${stdout}${stderr}`);
  return stdout;
}

/** `marked`: a program beside the services, which prometheus.yml marks as ours. */
export type Job = { name: string; ports: number[]; marked: boolean };

/** Scrapes each job's ports once a second, with our rules; ended with `t`. */
export async function startPrometheus(t: After, folder: string, jobs: Job[]): Promise<Prometheus> {
  const config = join(folder, 'prometheus.yml');
  const targets = jobs.map(({ name, ports, marked }) => {
    const addresses = ports.map((port) => `"127.0.0.1:${port}"`).join(', ');
    const labels = marked ? ', labels: { application: prompt-orchestrator }' : '';
    return `  - job_name: ${name}\n    static_configs: [{ targets: [${addresses}]${labels} }]`;
  });
  writeFileSync(
    config,
    `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: ["${RULES}/*.yml"]\nscrape_configs:\n${targets.join('\n')}\n`,
  );
  promtool('check', 'config', config);
  const port = await freePort();
  const [command, ...leading] = find('prometheus');
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--enable-feature=exemplar-storage',
    '--log.level=warn',
  ];
  const child = spawn(command, [...leading, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (piece) => {
    said += piece;
  });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const address = `http://127.0.0.1:${port}`;
  await until('Prometheus is ready', async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${said}`);
    return (await fetch(`${address}/-/ready`).catch(() => null))?.ok;
  });

  async function get<T>(path: string, parameters: Record<string, string> = {}): Promise<T> {
    const response = await fetch(`${address}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = (await response.json()) as { status: string; data: T; error?: string };
    if (body.status !== 'success') throw new Error(`${parameters['query'] ?? path}: ${body.error}`);
    return body.data;
  }
  const now = () => String(Date.now() / 1000);
  async function vector(query: string): ReturnType<Prometheus['vector']> {
    type Found = { result: { metric: Record<string, string>; value: [number, string] }[] };
    const { result } = await get<Found>('query', { query, time: now() });
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }
  const rules = async () =>
    (await get<{ groups: { rules: Rule[] }[] }>('rules')).groups.flatMap((group) => group.rules);
  return {
    vector,
    range: async (query, since) =>
      (await get<{ result: Series[] }>('query_range', { query, start: String(since), end: now(), step: '1' })).result,
    value: async (query) => (await vector(query))[0]?.value ?? Number.NaN,
    exemplars: async (query, since) => {
      type Found = { exemplars: { labels: { trace_id: string } }[] }[];
      const found = await get<Found>('query_exemplars', { query, start: String(since), end: now() });
      return found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => ({ traceId: labels.trace_id })));
    },
    rules,
    alertStates: async () => {
      const alerts = (await rules()).filter(({ type }) => type === 'alerting');
      return new Map(alerts.map(({ name, state = '' }) => [name, state]));
    },
  };
}

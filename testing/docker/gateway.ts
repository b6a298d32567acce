/** deployment/docker/haproxy.cfg under a real HAProxy; of the file the addresses alone may be other ones. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { portToKeep } from '../faults/port.ts';
import type { After } from '../kit/database.ts';
import { runProgram } from '../kit/process.ts';
import { until } from '../kit/until.ts';
import { readText } from './compose-file.ts';
import { programOf } from './tools.ts';

export type Gateway = {
  address: string;
  /** The values of one of its metrics that have these labels after those of the server, by server. */
  ofServers: (metric: string, labels?: string) => Promise<Map<string, number>>;
  /** The server is sent what comes. */
  uses: (server: string) => Promise<boolean>;
  /** Faults that it logged. */
  said: () => string;
};

export const GATEWAY_CONFIG = 'deployment/docker/haproxy.cfg';
export const readGatewayConfig = (): string => readText(GATEWAY_CONFIG);

/** Resolves when somebody answers behind it. */
export async function startGateway(t: After, config: string, env: Record<string, string> = {}): Promise<Gateway> {
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-gateway-'));
  t.after(async () => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'haproxy.cfg');
  writeFileSync(file, config);
  const [entry, metrics] = [`127.0.0.1:${await portToKeep()}`, `127.0.0.1:${await portToKeep()}`];
  const [haproxy, ...leading] = programOf('haproxy');
  const addresses = { GATEWAY_ENTRY: entry, GATEWAY_METRICS: metrics, GATEWAY_MAXCONN: '1000' };
  const running = runProgram(t, haproxy, [...leading, '-f', file], { ...addresses, ...env });
  process.once('exit', () => running.kill('SIGKILL')); // a run that is broken off

  const ofServers: Gateway['ofServers'] = async (metric, labels = '') => {
    const response = await fetch(`http://${metrics}/metrics?scope=server`);
    const line = new RegExp(`^${metric}\\{proxy="[^"]+",server="([^"]+)"${labels}\\} (\\d+)$`, 'gm');
    const found = [...(await response.text()).matchAll(line)];
    if (found.length === 0) throw new Error(`${metric} is not among the metrics of the gateway`);
    return new Map(found.map(([, server = '', value]) => [server, Number(value)]));
  };
  const address = `http://${entry}`;
  try {
    await until('the gateway answers', async () => (await fetch(`${address}/health`).catch(() => null))?.ok);
  } catch (cause) {
    throw new Error(`the gateway does not answer; it said: ${running.said()}`, { cause });
  }
  const uses: Gateway['uses'] = async (server) =>
    (await ofServers('haproxy_server_status', ',state="UP"')).get(server) === 1;
  return { address, ofServers, uses, said: running.said };
}

/** The gateway of compose before two of each API that listen where they are told. */
import { COMPOSE_FILE, readText } from '../docker/compose-file.ts';
import { GATEWAY_CONFIG, type Gateway, readGatewayConfig, startGateway } from '../docker/gateway.ts';
import type { Fleet } from '../faults/fleet.ts';
import type { Api } from '../faults/requests.ts';
import type { After } from '../kit/database.ts';

/** Of each instance: answers, and requests that went over a connection that had served another one before. */
export type Served = Record<string, { answers: number; reused: number }>;

/** How long an API of compose serves on after SIGTERM. */
export function delaySeconds(): string {
  const [, seconds] = /^x-api:.*?^ {2}SHUTDOWN_DELAY_SECONDS: "([\d.]+)"$/ms.exec(readText(COMPOSE_FILE)) ?? [];
  if (!seconds) throw new Error(`${COMPOSE_FILE} sets no SHUTDOWN_DELAY_SECONDS`);
  return seconds;
}

/** In place of those that it would find by the name of the service. */
function withServers(config: string, service: Api, addresses: string[]): string {
  const template = new RegExp(`^ {4}server-template ${service}- .*$`, 'm');
  if (!template.test(config)) throw new Error(`${GATEWAY_CONFIG} names no servers of ${service}`);
  const servers = addresses.map((address, i) => `    server ${service}-${i + 1} ${new URL(address).host}`);
  return config.replace(template, servers.join('\n'));
}

export function gatewayTo(t: After, { commandApis, queryApis }: Fleet): Promise<Gateway> {
  const commands = withServers(readGatewayConfig(), 'command-api', commandApis);
  return startGateway(t, withServers(commands, 'query-api', queryApis));
}

export async function servedBy({ ofServers }: Gateway): Promise<Served> {
  const answers = await ofServers('haproxy_server_http_responses_total', ',code="2xx"');
  const reused = await ofServers('haproxy_server_connection_reuses_total');
  return Object.fromEntries(
    [...answers].map(([name, count]) => [name, { answers: count, reused: reused.get(name) ?? 0 }]),
  );
}

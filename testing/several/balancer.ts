/**
 * What a gateway does for two of each API: requests go in turn to those that say they are ready, and on to another one when
 * a connection is refused. What was sent is never sent again.
 */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Fleet } from '../faults/fleet.ts';
import type { Api, Entry } from '../faults/requests.ts';
import { until } from '../kit/until.ts';

export type Balancer = {
  entry: Entry;
  /** By instance: requests that it answered. */
  answered: Map<string, number>;
  /** Requests that were sent, and never answered. */
  unanswered: string[];
  isReady: (instance: string) => boolean;
  stop: () => Promise<void>;
};

const ASKED_EVERY_MS = 100;
const ANSWERS_WITHIN_MS = 2_500;
/** As long as requests wait for an instance in deployment/docker/haproxy.cfg. */
const QUEUE_MS = 5_000;
const RETRIES = 3;

type Sent = Parameters<Entry>[2];

export function createBalancer({ adminPorts, commandApis, queryApis }: Fleet): Balancer {
  const addresses: Record<Api, string[]> = { 'command-api': commandApis, 'query-api': queryApis };
  const names = (service: Api) => addresses[service].map((_, i) => `${service}-${i + 1}`);
  const ready = new Set<string>();
  const answered = new Map<string, number>();
  const unanswered: string[] = [];
  const turns: Record<Api, number> = { 'command-api': 0, 'query-api': 0 };
  let stopping = false;

  async function watch(instance: string): Promise<void> {
    while (!stopping) {
      if (await saysReady(adminPorts.get(instance)!)) ready.add(instance);
      else ready.delete(instance);
      await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
    }
  }

  function next(service: Api): string | undefined {
    const able = names(service).filter((name) => ready.has(name));
    turns[service] += 1;
    return able[turns[service] % able.length];
  }

  const entry: Entry = async (service, path, sent) => {
    for (let tries = 0; ; tries += 1) {
      let api = 'nobody';
      try {
        api = await until(`a ${service} is ready`, () => next(service), QUEUE_MS);
        const response = await send(`${addresses[service][names(service).indexOf(api)]}${path}`, sent);
        answered.set(api, (answered.get(api) ?? 0) + 1);
        return { api, response };
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'ECONNREFUSED' && tries < RETRIES) {
          ready.delete(api);
          continue;
        }
        unanswered.push(`${new Date().toISOString()} ${sent.method} ${path} at ${api}: ${code ?? message}`);
        throw new TypeError('there was no answer', { cause: error });
      }
    }
  };

  const watching = Promise.all([...names('command-api'), ...names('query-api')].map(watch));
  return {
    entry,
    answered,
    unanswered,
    isReady: (instance) => ready.has(instance),
    stop: async () => {
      stopping = true;
      await watching;
    },
  };
}

/** As the chart's probes ask: an API goes on without Redis. */
async function saysReady(adminPort: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS);
    const response = await fetch(`http://127.0.0.1:${adminPort}/readyz?exclude=redis`, { signal });
    await response.text();
    return response.ok;
  } catch {
    return false; // it has ended, or is just coming up
  }
}

/** Over a connection of its own, which nobody has left standing. */
function send(url: string, { method, headers, body, withinMs }: Sent): Promise<Response> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(withinMs);
    const sent = request(url, { method, headers, agent: false, signal }, (response) => {
      const told = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]);
      const status = response.statusCode ?? 0;
      text(response).then((all) => resolve(new Response(all, { status, headers: told })), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/**
 * The operators' port, apart from the API's: `/livez`, `/readyz`, `/metrics`. `/readyz?exclude=NAME` leaves a dependency out
 * of the verdict: what goes on without it must not be taken out of service by it.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { createExposition } from '../telemetry/exposition.ts';

/**
 * Each dependency by name; `detail` says what is wrong, without secrets. With `ok` it is done without: the process is degraded,
 * and ready.
 */
export type Readiness = Record<string, { ok: boolean; detail?: string }>;

export type AdminOptions = {
  host: string;
  port: number;
  registry: Registry;
  ready: () => Promise<Readiness>;
};

export async function startAdmin(options: AdminOptions): Promise<{ port: number; close: () => Promise<void> }> {
  const expose = createExposition(options.registry);
  const server = createServer((request, response) => {
    answer(request.url ?? '/', request.headers.accept, response).catch((error: unknown) => {
      json(response, 500, { status: 'error', detail: error instanceof Error ? error.message : 'unknown' });
    });
  });

  async function answer(url: string, accept: string | undefined, response: ServerResponse): Promise<void> {
    const [path, query = ''] = url.split('?');
    switch (path) {
      case '/livez':
        return json(response, 200, { status: 'ok' });
      case '/readyz': {
        const checks = await options.ready();
        const excluded = new URLSearchParams(query).getAll('exclude');
        const unknown = excluded.filter((name) => !(name in checks));
        if (unknown.length > 0) {
          const detail = `cannot exclude ${unknown.join(', ')}: the checks are ${Object.keys(checks).join(', ')}`;
          return json(response, 400, { status: 'error', detail });
        }
        const counted = Object.entries(checks).filter(([name]) => !excluded.includes(name));
        if (!counted.every(([, { ok }]) => ok)) return json(response, 503, { status: 'not ready', checks });
        const isDegraded = counted.some(([, { detail }]) => detail !== undefined);
        return json(response, 200, { status: isDegraded ? 'degraded' : 'ok', checks });
      }
      case '/metrics': {
        const { contentType, text } = await expose(accept);
        response.writeHead(200, { 'content-type': contentType });
        response.end(text);
        return;
      }
      default:
        return json(response, 404, { status: 'not found' });
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

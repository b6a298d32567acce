/** The services as containers of the compose file, without an engine: the image's files, its commands, its environment. */
import type { After } from '../kit/database.ts';
import { type Running, run } from '../kit/process.ts';
import { until } from '../kit/until.ts';
import { environmentFiles, environmentOf, readCompose } from './compose-file.ts';

export type Member = Running & { name: string; port: number; adminPort: number; readySeconds: number };

export type Site = {
  /** What the image has under /app. */
  app: string;
  /** In place of /var/lib/orchestrator. */
  data: string;
  /** Where that is which containers reach by name. */
  addresses: { POSTGRES_URI: string; REDIS_URI: string; JAEGER_URI: string; GEMINI_BASE_URL: string };
};

const compose = readCompose();
const files = environmentFiles();

/** The environment that compose gives it, but for addresses, ports and folders of this machine. */
function environment(site: Site, name: string): Record<string, string> {
  const given = environmentOf(compose.services[name]!, files);
  const here = (path: string) => path.replace('/var/lib/orchestrator', site.data).replace('/app', site.app);
  const placed = Object.entries(given).map(([key, value]) => [key, value.startsWith('/') ? here(value) : value]);
  // A container has no code that an earlier start compiled.
  const bare = { NODE_DISABLE_COMPILE_CACHE: '1', HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' };
  return { ...Object.fromEntries(placed), ...site.addresses, ...bare };
}

/** Its command in the image, as compose gives it. */
export function start(t: After, site: Site, name: string): Running {
  const [node, ...args] = compose.services[name]?.command ?? [];
  if (node !== 'node') throw new Error(`${name} has no command that starts with node`);
  return run(t, args, environment(site, name), site.app);
}

/** A tool of the image beside that service. */
export const tool = (t: After, site: Site, name: string, ...args: string[]): Running =>
  run(t, args, environment(site, name), site.app);

/** Resolves when it says that it is ready. */
export async function startMember(t: After, site: Site, name: string): Promise<Member> {
  const startedAt = performance.now();
  const running = start(t, site, name);
  await until(`${name} is ready`, () => /is ready/.test(running.said()), 30_000);
  const readySeconds = (performance.now() - startedAt) / 1_000;
  const port = Number(/listening at http:\/\/127\.0\.0\.1:(\d+)/i.exec(running.said())?.[1]);
  const adminPort = Number(/"adminPort":(\d+)/.exec(running.said())?.[1]);
  return { ...running, name, port, adminPort, readySeconds };
}

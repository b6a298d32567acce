/** A service as the image runs it: the files that its build makes, its command, an environment of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { freePort } from '../../../deployment/local/servers/free-port.ts';
import { until } from '../../kit/until.ts';
import { ROOT } from '../environment.ts';

export const SERVICES = ['command-api', 'query-api', 'worker', 'projector'] as const;
export type ServiceName = (typeof SERVICES)[number];

export type Running = { pid: number; port: number; readySeconds: number; end: () => Promise<void> };

/** Puts what the image has under /app into `folder`. */
export function assemble(folder: string): void {
  const args = [join(ROOT, 'deployment/docker/assemble.ts'), folder];
  const { status, error } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`the files of the image could not be made: ${error?.message ?? `exit ${status}`}`);
}

/** Resolves when it has said that it is ready and `/readyz` is 200; `env` has the addresses of its servers. */
export async function startService(app: string, name: ServiceName, env: Record<string, string>): Promise<Running> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const place = { HOST: '127.0.0.1', PORT: String(port), ADMIN_PORT: String(adminPort), NODE_ENV: 'production' };
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--import', './platform/telemetry/preload.js', `${name}/main.js`], {
    cwd: app,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...place, ...env },
  });
  let said = '';
  for (const output of [child.stdout, child.stderr]) {
    output.on('data', (piece) => {
      if (said.length < 100_000) said += piece; // past its start it is read and thrown away
    });
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const end = async () => {
    if (!hasEnded()) child.kill('SIGTERM');
    await exited;
    if (child.exitCode !== 0) throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode}:\n${said}`);
  };
  try {
    await until(`${name} is ready`, () => / is ready/.test(said) || hasEnded(), 30_000);
    if (hasEnded()) throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode}:\n${said}`);
    const isReady = async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status === 200;
    await until(`/readyz of ${name} is 200`, isReady, 10_000);
    return { pid: child.pid!, port, readySeconds: (performance.now() - startedAt) / 1000, end };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** A service or tool as a process of its own, as npm's scripts run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { After } from './database.ts';
import { inherited } from './environment.ts';
import { commandOf } from './npm-scripts.ts';
import { until } from './until.ts';

const ROOT = join(import.meta.dirname, '../..');

export type Running = {
  pid: number;
  /** What it printed so far, both outputs. */
  said: () => string;
  kill: (signal: NodeJS.Signals) => void;
  /** Sends `signal` unless it ended; resolves to its exit code, null when a signal ended it. */
  end: (signal?: NodeJS.Signals) => Promise<number | null>;
  exit: Promise<number | null>;
};

/** A script on this Node. Nothing of this process's environment but PATH reaches it. */
export const run = (t: After, args: string[], env: Record<string, string>, cwd = ROOT): Running =>
  runProgram(t, process.execPath, args, env, cwd);

export function runProgram(
  t: After,
  program: string,
  args: string[],
  env: Record<string, string>,
  cwd = ROOT,
): Running {
  const child: ChildProcess = spawn(program, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited(), ...env },
  });
  let said = '';
  for (const output of [child.stdout!, child.stderr!]) {
    output.on('data', (piece) => {
      said += piece;
    });
  }
  // 'close' comes when the outputs have ended too.
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const end = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return exit;
  };
  t.after(async () => void (await end('SIGKILL')));
  return { pid: child.pid!, said: () => said, kill: (signal) => child.kill(signal), end, exit };
}

export type Service = Running & { port: number; adminPort: number };

/** As `npm run start:<service>` does, on free ports; resolves when it is ready. */
export async function startService(
  t: After,
  service: string,
  env: Record<string, string>,
  withinMs = 20_000,
): Promise<Service> {
  const args = commandOf(`start:${service}`).slice(1);
  const running = run(t, args, { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', ...env });
  await until(`${service} is ready`, () => /is ready/.test(running.said()), withinMs);
  const said = running.said();
  const port = Number(/listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
  const adminPort = Number(/"adminPort":(\d+)/.exec(said)?.[1]);
  return { ...running, port, adminPort };
}

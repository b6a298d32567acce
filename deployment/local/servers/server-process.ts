/** A server of ours as a process: started apart from this one's group, remembered on disk, adopted or ended later. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Launch } from './privilege.ts';
import { end, identify, isAlive, type ProcessIdentity } from './process-identity.ts';

export type ServerRecord = ProcessIdentity & { port: number };

/** Runs until its end is asked for, also past this process; `logFile` takes both outputs. */
export async function launch(how: Launch, args: string[], logFile: string): Promise<ProcessIdentity> {
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(how.command, [...how.args, ...args], {
      // Its own session: Ctrl-C in the terminal must not stop the database under the services that are still finishing.
      detached: true,
      stdio: ['ignore', log, log],
      cwd: how.cwd,
      ...(how.uid !== undefined && { uid: how.uid, gid: how.gid }),
    });
    const started = await new Promise<boolean>((resolve, reject) => {
      child.once('spawn', () => resolve(true));
      child.once('error', reject);
    });
    const identity = started && child.pid ? identify(child.pid) : null;
    if (!identity) throw new Error(`it ended at once, see ${logFile}`);
    return identity;
  } finally {
    closeSync(log);
  }
}

export function remember(file: string, record: ServerRecord): void {
  writeFileSync(file, JSON.stringify(record), { mode: 0o600 });
}
export const forget = (file: string): void => rmSync(file, { force: true });

/** The server that an earlier run left, if that very process is alive. */
export function recall(file: string): ServerRecord | null {
  if (!existsSync(file)) return null;
  try {
    const record = JSON.parse(readFileSync(file, 'utf8')) as ServerRecord;
    return isAlive(record) ? record : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Waits until `answers` is true; false when the process ended or the time is over. */
export async function untilAnswering(
  server: ProcessIdentity,
  answers: () => Promise<boolean>,
  ms: number,
): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (await answers()) return true;
    if (!isAlive(server)) return false;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return false;
}

/** Politely, then not. */
export async function stopServer(server: ProcessIdentity, polite: NodeJS.Signals, ms: number): Promise<void> {
  if (await end(server, polite, ms)) return;
  if (await end(server, 'SIGQUIT', 3_000)) return;
  await end(server, 'SIGKILL', 3_000);
}

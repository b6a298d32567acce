/** Tells a process from another one that was given the same pid later. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export type ProcessIdentity = { pid: number; startedAt: string };

/** Null when no such process lives. `startedAt` is the kernel's start time of the process, in its own unit. */
export function identify(pid: number): ProcessIdentity | null {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name in parentheses may hold anything; fields count from behind it. State is field 3, start time 22.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? null : { pid, startedAt: fields[19] ?? '' };
    } catch {
      return null; // no such process
    }
  }
  try {
    return { pid, startedAt: execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() };
  } catch {
    return null; // ps exits 1 when there is no such process
  }
}

export const isAlive = (identity: ProcessIdentity): boolean => identify(identity.pid)?.startedAt === identity.startedAt;

/** Signals the process, unless another one has its pid by now. Resolves to whether it ended within `ms`. */
export async function end(identity: ProcessIdentity, signal: NodeJS.Signals, ms: number): Promise<boolean> {
  if (!isAlive(identity)) return true;
  process.kill(identity.pid, signal);
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (!isAlive(identity)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return !isAlive(identity);
}

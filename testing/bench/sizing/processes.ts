/** Processor time and memory of processes, as Linux tells them under /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Of /proc/PID/stat, the same on every Linux of today. */
const TICKS_PER_SECOND = 100;

type Stat = { parent: number; ownTicks: number; ticksOfEnded: number };

/** Null: it has ended. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

function statOf(pid: number): Stat | null {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  // The second field is a name in brackets, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number) as [number, number, number, number];
  return { parent: Number(fields[1]), ownTicks: utime + stime, ticksOfEnded: cutime + cstime };
}

function existing(pid: number): Stat {
  const stat = statOf(pid);
  if (!stat) throw new Error(`process ${pid} has ended`);
  return stat;
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => statOf(one)?.parent === pid);
}

/** Seconds of processor time since it began. */
export const cpuSecondsOf = (pid: number): number => existing(pid).ownTicks / TICKS_PER_SECOND;

/** With its children, also those that have ended. */
export function cpuSecondsOfTree(pid: number): number {
  const { ownTicks, ticksOfEnded } = existing(pid);
  const children = childrenOf(pid).reduce((sum, child) => sum + (statOf(child)?.ownTicks ?? 0), 0);
  return (ownTicks + ticksOfEnded + children) / TICKS_PER_SECOND;
}

const kilobytes = (text: string | null, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1] ?? 0) * 1024;

/** Resident bytes. */
export const residentBytesOf = (pid: number): number => kilobytes(read(`/proc/${pid}/status`), 'VmRSS');

/** Of it and its children, what they share counted once. */
export const residentBytesOfTree = (pid: number): number =>
  [pid, ...childrenOf(pid)].reduce((sum, one) => sum + kilobytes(read(`/proc/${one}/smaps_rollup`), 'Pss'), 0);

/** Milliseconds that all cores worked and waited since the machine began. */
export function coreTimes(): { busy: number; all: number } {
  const times = cpus().map((core) => core.times);
  const all = times.reduce((sum, one) => sum + one.user + one.nice + one.sys + one.idle + one.irq, 0);
  return { busy: all - times.reduce((sum, one) => sum + one.idle, 0), all };
}

/** Services as processes of their own: started, watched, started again when they end; only what it started is ever ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { until } from '../kit/until.ts';
import type { Order, Reached, Stalled } from './arm.ts';
import type { Evidence } from './evidence.ts';
import type { Impairments } from './impairments.ts';

const RESTART_AFTER_MS = 150;

export type Instance = {
  /** e.g. `worker-1` */
  name: string;
  service: string;
  readonly pid: number | null;
  readonly isUp: boolean;
  /** How often it was started. */
  readonly starts: number;
  logFile: string;
  /** By SIGSTOP. */
  isStopped: () => boolean;
  /** A poison is sent to every later process of the instance as well, until it is disarmed. */
  send: (order: Order) => void;
  /** Resolves when the armed point is reached. */
  reached: () => Promise<string>;
  signal: (signal: NodeJS.Signals) => void;
  /** SIGTERM, awaited; it is started again, from now on with what is named here. Resolves to the exit code. */
  restart: (withThese?: { folder?: string; env?: Record<string, string> }) => Promise<number | null>;
  ready: () => Promise<void>;
};

export type UnexpectedExit = Evidence['unexpectedExits'][number];

export type Supervisor = {
  start: (name: string, service: string, env: Record<string, string>) => Instance;
  instances: () => Instance[];
  /** Ends that no signal of ours explains, and those of services that were told to stop and did not end with 0. */
  unexpectedExits: UnexpectedExit[];
  /** Takes away those that a case brought about, and looked at. */
  forgive: (which: (exit: UnexpectedExit) => boolean) => void;
  /** Every process that was started. */
  processes: Evidence['processes'];
  /** SIGTERM to all, nothing is started again; the exit codes by name. */
  stop: () => Promise<Record<string, number | null>>;
};

function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

/** `root`: the project folder whose services run, with packages in it. */
export function createSupervisor(logDir: string, root: string, impairments: Impairments): Supervisor {
  const instances: (Instance & { end: () => Promise<number | null>; killNow: () => void })[] = [];
  const unexpectedExits: UnexpectedExit[] = [];
  const processes: Evidence['processes'] = [];
  let stopping = false;

  function start(name: string, service: string, env: Record<string, string>): Instance {
    const logFile = join(logDir, `${name}.log`);
    const log: WriteStream = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
    let child: ChildProcess | null = null;
    let runsIn = root;
    let up = false;
    let starts = 0;
    let said = '';
    let ended: Promise<number | null> = Promise.resolve(null);
    /** `stopped`: told to by SIGTERM when it was up, it must end with 0. */
    let told: 'nothing' | 'killed' | 'stopped' = 'nothing';
    let waiting: ((name: string) => void)[] = [];
    let armed: string | null = null;
    let poison: Order | null = null;
    let resumed = () => {};
    const stopped = () => {
      resumed();
      resumed = impairments.begin(name, 'stopped', child?.pid ?? null);
    };

    function launch(): void {
      starts += 1;
      said = '';
      told = 'nothing';
      const preload = ['--import', './platform/telemetry/preload.ts', '--import', './testing/faults/arm.ts'];
      const one = spawn(process.execPath, [...preload, `${service}/main.ts`], {
        cwd: runsIn,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: {
          PATH: process.env['PATH'] ?? '',
          // Compiled once: with what is killed most, starting is what the machine would do most of the time.
          NODE_COMPILE_CACHE: join(root, '.cache', 'node'),
          ...env,
        },
      });
      child = one;
      if (one.pid !== undefined) processes.push({ instance: name, pid: one.pid });
      if (poison) one.send(poison, () => {}); // it waits in the channel until it is listened to
      for (const output of [one.stdout!, one.stderr!]) {
        output.on('data', (piece: Buffer) => {
          log.write(piece);
          said = (said + piece).slice(-2_000);
          if (piece.includes('is ready')) up = true;
        });
      }
      one.on('message', (message: Reached | Stalled) => {
        if ('stalledMs' in message) {
          impairments.ended(name, 'stalled', one.pid ?? null, message.stalledMs);
          return;
        }
        if (message.action === 'kill' || message.action === 'crash') told = 'killed';
        if (armed === 'stop') stopped();
        for (const resolve of waiting) resolve(message.reached);
        waiting = [];
      });
      one.on('error', () => {}); // of the channel, when the process has gone: its exit tells
      ended = new Promise((resolve) => {
        one.once('exit', (code, signal) => {
          up = false;
          child = null;
          resumed();
          impairments.ended(name, 'ended', one.pid ?? null, 0);
          const isWrong = told === 'stopped' ? code !== 0 : told === 'nothing';
          if (isWrong) unexpectedExits.push({ at: Date.now(), service: name, code, signal, said });
          resolve(code);
          if (!stopping) setTimeout(() => !stopping && launch(), RESTART_AFTER_MS);
        });
      });
    }

    function tellToStop(): void {
      // While it starts nobody listens to the signal yet, and its default takes the process.
      told = up ? 'stopped' : 'killed';
      child?.kill('SIGTERM');
    }

    launch();
    const instance = {
      name,
      service,
      logFile,
      get pid() {
        return child?.pid ?? null;
      },
      get isUp() {
        return up;
      },
      get starts() {
        return starts;
      },
      isStopped: () => child?.pid !== undefined && /\) T /.test(statOf(child.pid)),
      send: (order: Order) => {
        if ('arm' in order) armed = order.action;
        if ('poison' in order) poison = order;
        if ('disarm' in order) poison = null;
        if (child?.connected) child.send(order, () => {});
      },
      reached: () => new Promise<string>((resolve) => waiting.push(resolve)),
      signal: (signal: NodeJS.Signals) => {
        if (signal !== 'SIGCONT' && signal !== 'SIGSTOP') told = 'killed';
        if (signal === 'SIGSTOP') stopped();
        child?.kill(signal);
        if (signal === 'SIGCONT') resumed();
      },
      restart: async ({ folder = runsIn, env: more = {} } = {}) => {
        runsIn = folder;
        Object.assign(env, more);
        tellToStop();
        return ended;
      },
      ready: async () => {
        try {
          await until(`${name} is ready`, () => up, 60_000);
        } catch (cause) {
          throw new Error(`${name} is not ready; it said: ${said.slice(-500)}`, { cause });
        }
      },
      end: async () => {
        child?.kill('SIGCONT');
        tellToStop();
        return ended;
      },
      killNow: () => void child?.kill('SIGKILL'),
    };
    instances.push(instance);
    return instance;
  }

  return {
    start,
    instances: () => instances,
    unexpectedExits,
    forgive: (which) => {
      unexpectedExits.splice(0, unexpectedExits.length, ...unexpectedExits.filter((exit) => !which(exit)));
    },
    processes,
    stop: async () => {
      stopping = true;
      const cut = setTimeout(() => {
        for (const one of instances) one.killNow();
      }, 30_000);
      const codes: Record<string, number | null> = {};
      await Promise.all(
        instances.map(async (one) => {
          codes[one.name] = await one.end();
        }),
      );
      clearTimeout(cut);
      return codes;
    },
  };
}

/** `npm start` as a child process, on a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './until.ts';

const ROOT = join(import.meta.dirname, '../..');

export type Embedded = {
  child: ChildProcess;
  address: string;
  apiKey: string;
  /** The line that begins with Ready. */
  ready: string;
  /** Sends a signal and resolves to the exit code (null: ended by the signal). */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
};

export type EmbeddedOptions = {
  dataDir: string;
  env?: Record<string, string>;
  /** At once, with the process. */
  onSpawn?: (child: ChildProcess) => void;
};

/** Resolves when it is ready, or with what it said when it ended instead. */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded | { exitCode: number; said: string }> {
  const child = spawn(process.execPath, ['deployment/local/main.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PORT: '0',
      LEASE_SECONDS: '1',
      LOG_LEVEL: 'info',
      DATA_DIR: options.dataDir,
      ...options.env,
    },
  });
  options.onSpawn?.(child);
  let said = '';
  child.stdout.on('data', (piece) => {
    said += piece;
  });
  child.stderr.on('data', (piece) => {
    said += piece;
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await until('the stack is ready, or has ended', () => /^Ready .*$/m.test(said) || child.exitCode !== null, 60_000);
  if (child.exitCode !== null) return { exitCode: child.exitCode, said };
  const [ready = ''] = /^Ready .*$/m.exec(said) ?? [];
  return {
    child,
    ready,
    address: /Ready (\S+)/.exec(ready)?.[1] ?? '',
    apiKey: readFileSync(/key: (\S+)/.exec(ready)?.[1] ?? '', 'utf8').trim(),
    end: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}

/** Throws what it said when it ended instead. */
export async function startedEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const started = await startEmbedded(options);
  if ('exitCode' in started) throw new Error(`it ended with ${started.exitCode}: ${started.said}`);
  return started;
}

/** Ends the servers of a folder the hard way, by the pids they wrote down. */
export function killServers(dataDir: string): void {
  for (const name of ['postgres', 'redis']) {
    const { pid } = JSON.parse(readFileSync(join(dataDir, `${name}.json`), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
  }
}

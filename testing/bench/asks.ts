/** wrk asking one command-api as fast as it can. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchEnvironment } from './environment.ts';
import { findWrk } from './tools.ts';

export const PROMPT = 'Explain in two sentences why the sky is blue at noon and red in the evening.';
export const CONNECTIONS = [32, 64, 128, 256];

export type Asks = {
  /** Accepted asks; `seconds` of them. Throws when one was refused. */
  perSecond: (port: string, connections: number, seconds: number) => number;
  remove: () => void;
};

export function prepareAsks({ apiKey }: Pick<BenchEnvironment, 'apiKey'>): Asks {
  const work = mkdtempSync(join(tmpdir(), 'orchestrator-wrk-'));
  const lua = join(work, 'ask.lua');
  writeFileSync(
    lua,
    `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.headers["Authorization"] = "Bearer ${apiKey}"\nwrk.body = [[${JSON.stringify({ prompt: PROMPT, model: 'gemini-2.5-flash' })}]]\n`,
  );
  return {
    perSecond: (port, connections, seconds) => {
      const load = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', lua];
      const output = run([...findWrk(), ...load, `http://127.0.0.1:${port}/ask`]);
      if (/Non-2xx/.test(output)) throw new Error(`asks were refused:\n${output}`);
      return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
    },
    remove: () => rmSync(work, { recursive: true, force: true }),
  };
}

export function best(candidates: number[], measure: (candidate: number) => number): number {
  const results = candidates.map((candidate) => ({ candidate, rate: measure(candidate) }));
  return results.sort((a, b) => b.rate - a.rate)[0]!.candidate;
}

export function run([command = '', ...args]: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`);
  return stdout;
}

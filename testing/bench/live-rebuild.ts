/**
 * What the live feed feels of a rebuild: the times of the socket before it and while it runs, with a rebuild that is killed
 * in its middle and taken up again. Prints what the tool said, second by second.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { nodeOptionsOf } from '../kit/npm-scripts.ts';
import { type BenchEnvironment, ROOT } from './environment.ts';
import { populate } from './population.ts';
import { type SocketTimes, startSocketLoad } from './socket.ts';

export type LiveRebuildTimes = { events: number; before: SocketTimes; during: SocketTimes; seconds: number };

const BEFORE_MS = 10_000;

export async function measureLiveRebuild(environment: BenchEnvironment, prompts: number): Promise<LiveRebuildTimes> {
  const { events } = await populate({ uri: environment.postgresUri, prompts, users: 1_000, days: 30 });
  const load = await startSocketLoad(environment);
  try {
    const startedAt = performance.now();
    await new Promise((resolve) => setTimeout(resolve, BEFORE_MS));
    const begunAt = performance.now();
    // Killed when it has folded half of what there is.
    const killed = await replay(environment.postgresUri, (position) => position > events / 2);
    if (killed !== 'SIGKILL') throw new Error(`the rebuild ended with ${killed} before it was killed`);
    const ended = await replay(environment.postgresUri, () => false);
    if (ended !== 0) throw new Error(`the rebuild ended with ${ended}`);
    const endedAt = performance.now();
    await load.stop();
    return {
      events,
      before: load.between(startedAt + 1_000, begunAt),
      during: load.between(begunAt, endedAt),
      seconds: (endedAt - begunAt) / 1000,
    };
  } catch (error) {
    await load.stop();
    throw error;
  }
}

async function replay(uri: string, kill: (position: number) => boolean): Promise<number | NodeJS.Signals | null> {
  say('$ npm run replay');
  const child = spawn(process.execPath, [...nodeOptionsOf('replay'), 'cli/replay.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, POSTGRES_URI: uri },
  });
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      say(line);
      const [, position] = /^folding: (\d+) of/.exec(line) ?? [];
      if (position && kill(Number(position)) && child.kill('SIGKILL')) say('(kill -9)');
    });
  }
  return new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
}

const say = (line: string) => console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`);

/** From the 202 to the completed prompt on the socket, at 100 prompts a second, with an instant model. */
import { Agent } from 'node:http';
import { subscribe } from '../kit/feed.ts';
import { until } from '../kit/until.ts';
import type { BenchEnvironment } from './environment.ts';
import { ask } from './hops.ts';

export type SocketTimes = { prompts: number; p50: number; p99: number };

export const PER_SECOND = 100;

export type SocketLoad = {
  /** Of prompts that were acknowledged between two times of `performance.now()`. */
  between: (from: number, to: number) => SocketTimes;
  /** Resolves when everything that was asked is on the socket. */
  stop: () => Promise<void>;
};

export async function startSocketLoad(environment: BenchEnvironment): Promise<SocketLoad> {
  const stack = await environment.run(
    'testing/bench/stack-process.ts',
    { NUMBER_OF_WORKERS: '16' },
    /listening on (\d+)\./,
  );
  const port = Number(stack.match[1]);
  const feed = await subscribe(`http://127.0.0.1:${port}`, environment.apiKey);
  const acknowledged = new Map<string, number>();
  const completed = new Map<string, number>();
  feed.socket.on('message', (data) => {
    const at = performance.now();
    const frame = JSON.parse(data.toString()) as { event?: string; promptId?: string };
    if (frame.event === 'PromptCompleted' && frame.promptId) completed.set(frame.promptId, at);
  });
  const agent = new Agent({ keepAlive: true });
  const startedAt = performance.now();
  const asked: Promise<void>[] = [];
  let stopping = false;
  const asking = (async () => {
    for (let i = 0; !stopping; i += 1) {
      const pause = startedAt + (i * 1000) / PER_SECOND - performance.now();
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      asked.push(
        ask(agent, port, environment.apiKey, `Why is the sky blue, ${i}?`).then(
          (id) => void acknowledged.set(id, performance.now()),
        ),
      );
    }
  })();
  return {
    between: (from, to) => {
      // A frame may even be there before the 202 was read.
      const times = [...acknowledged]
        .filter(([, at]) => at >= from && at < to)
        .map(([id, at]) => Math.max(0, completed.get(id)! - at))
        .sort((a, b) => a - b);
      const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
      return { prompts: times.length, p50: at(0.5), p99: at(0.99) };
    },
    stop: async () => {
      stopping = true;
      await asking;
      await Promise.all(asked);
      await until('every prompt is on the socket', () => completed.size >= asked.length, 60_000);
      feed.close();
      agent.destroy();
      await stack.end();
    },
  };
}

export async function measureSocket(environment: BenchEnvironment, seconds: number): Promise<SocketTimes> {
  const load = await startSocketLoad(environment);
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const endedAt = performance.now();
  await load.stop();
  return load.between(startedAt + 1_000, endedAt); // the first second warms up
}

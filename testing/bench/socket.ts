/** From the 202 to the completed prompt on the socket, at 100 prompts a second, with an instant model. */
import { Agent } from 'node:http';
import { subscribe } from '../kit/feed.ts';
import { until } from '../kit/until.ts';
import type { BenchEnvironment } from './environment.ts';
import { ask } from './hops.ts';

export type SocketTimes = { prompts: number; p50: number; p99: number };

const PER_SECOND = 100;

export async function measureSocket(environment: BenchEnvironment, seconds: number): Promise<SocketTimes> {
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
  const count = PER_SECOND * seconds;
  const startedAt = performance.now();
  const asked: Promise<void>[] = [];
  for (let i = 0; i < count; i += 1) {
    const pause = startedAt + (i * 1000) / PER_SECOND - performance.now();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    asked.push(
      ask(agent, port, environment.apiKey, `Why is the sky blue, ${i}?`).then(
        (id) => void acknowledged.set(id, performance.now()),
      ),
    );
  }
  await Promise.all(asked);
  await until('every prompt is on the socket', () => completed.size >= count, 20_000);
  feed.close();
  agent.destroy();
  await stack.end();
  // The first second warms up. A frame may even be there before the 202 was read.
  const times = [...acknowledged]
    .slice(PER_SECOND)
    .map(([id, at]) => Math.max(0, completed.get(id)! - at))
    .sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { prompts: times.length, p50: at(0.5), p99: at(0.99) };
}

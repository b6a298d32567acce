/** Times of GETs against one service: first, again, and four at once. */
import { Agent, get } from 'node:http';

export type Server = { port: number; apiKey: string };
/** Milliseconds, until the whole answer is read. */
export type Times = { asked: number; p50: number; p99: number };
export type Passes = {
  /** Each for the first time. */
  first: Times;
  /** The same again. */
  again: Times;
  /** The same, four at a time. */
  four: Times;
  /** Status, and how often: what was answered with another one than expected. */
  refused: Map<number, number>;
  /** Of an answer, on average. */
  bytes: number;
};

/** A pass ends when it has taken so long, however many are left. */
const LONGEST_MS = 15_000;
const FEWEST = 10;

export async function timePasses(server: Server, paths: readonly string[], status = 200): Promise<Passes> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const refused = new Map<number, number>();
  let answers = 0;
  let bytes = 0;
  const pass = async (atOnce: number): Promise<Times> => {
    const times: number[] = [];
    const left = [...paths];
    const startedAt = performance.now();
    const askOn = async () => {
      for (let path = left.shift(); path !== undefined; path = left.shift()) {
        if (performance.now() - startedAt > LONGEST_MS && times.length >= FEWEST) return;
        const askedAt = performance.now();
        const answer = await askOnce(agent, server, path);
        times.push(performance.now() - askedAt);
        answers += 1;
        bytes += answer.bytes;
        if (answer.status !== status) refused.set(answer.status, (refused.get(answer.status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, askOn));
    return toTimes(times);
  };
  try {
    const first = await pass(1);
    const again = await pass(1);
    return { first, again, four: await pass(4), refused, bytes: bytes / answers };
  } finally {
    agent.destroy();
  }
}

function askOnce(agent: Agent, { port, apiKey }: Server, path: string): Promise<{ status: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${apiKey}` };
    const request = get({ host: '127.0.0.1', port, path, agent, headers }, (response) => {
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

function toTimes(times: number[]): Times {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { asked: sorted.length, p50: at(0.5), p99: at(0.99) };
}

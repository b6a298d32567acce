/** Users who ask, follow their prompts on sockets, and read each one when it is completed; their provider is emulated. */
import { Agent, request } from 'node:http';
import pg from 'pg';
import { createKey } from '../../../platform/postgres/api-keys.ts';
import type { Emulator } from '../../emulator/emulator.ts';
import { subscribe } from '../../kit/feed.ts';
import { createRandom } from '../../kit/random.ts';
import { until } from '../../kit/until.ts';
import type { BenchEnvironment } from '../environment.ts';
import { ask } from '../hops.ts';
import { textOf } from './text.ts';

export type Texts = { promptCharacters: number; answerCharacters: number; answerPieces: number; callMs: number };

export type Load = {
  asked: () => number;
  completed: () => number;
  /** Resolves when all of these are asked; `perSecond` evenly. */
  askSteadily: (perSecond: number, seconds: number) => Promise<void>;
  /** As fast as so many at once are accepted. */
  askAtOnce: (count: number, connections: number) => Promise<void>;
  /** Resolves when everything that was asked is completed, and was read. */
  settled: (withinMs: number) => Promise<void>;
  close: () => void;
};

const SEED = 5;

export async function openLoad(
  environment: BenchEnvironment,
  emulator: Emulator,
  ports: { command: number; query: number },
  options: Texts & { users: number },
): Promise<Load> {
  const random = createRandom(SEED);
  const agent = new Agent({ keepAlive: true });
  const keys = await makeKeys(environment.postgresUri, options.users);
  const failures: Error[] = [];
  let asked = 0;
  let completed = 0;
  let read = 0;
  const feeds = await Promise.all(keys.map((key) => subscribe(`http://127.0.0.1:${ports.query}`, key)));
  feeds.forEach((feed, i) => {
    feed.socket.on('message', (data) => {
      const frame = JSON.parse(data.toString()) as { event?: string; promptId?: string };
      if (frame.event !== 'PromptCompleted' || !frame.promptId) return;
      completed += 1;
      readPrompt(agent, ports.query, keys[i]!, frame.promptId).then(
        () => {
          read += 1;
        },
        (error: Error) => void failures.push(error),
      );
    });
  });

  async function askOne(): Promise<void> {
    const { callMs, answerCharacters, answerPieces, promptCharacters } = options;
    // Calls that begin about now are answered with it: hardly two have the same.
    emulator.setBehaviour({ delayMs: callMs, chunks: answerPieces, text: textOf(random, answerCharacters) });
    await ask(agent, ports.command, random.pick(keys), textOf(random, promptCharacters));
    asked += 1;
  }

  const askSteadily = async (perSecond: number, seconds: number) => {
    const startedAt = performance.now();
    const asks: Promise<void>[] = [];
    for (let i = 0; i < perSecond * seconds; i += 1) {
      const pause = startedAt + (i * 1000) / perSecond - performance.now();
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      const ask = askOne();
      // Heard now, thrown below: nobody waits for the first while the others are asked.
      ask.catch(() => {});
      asks.push(ask);
    }
    await Promise.all(asks);
  };

  const askAtOnce = async (count: number, connections: number) => {
    let next = 0;
    const lane = async () => {
      while (next++ < count) await askOne();
    };
    await Promise.all(Array.from({ length: connections }, lane));
  };

  return {
    asked: () => asked,
    completed: () => completed,
    askSteadily,
    askAtOnce,
    settled: async (withinMs) => {
      await until('all is completed and read', () => failures.length > 0 || read >= asked, withinMs);
      if (failures.length > 0) throw failures[0];
    },
    close: () => {
      for (const feed of feeds) feed.close();
      agent.destroy();
    },
  };
}

async function makeKeys(postgresUri: string, users: number): Promise<string[]> {
  const client = new pg.Client({ connectionString: postgresUri });
  await client.connect();
  try {
    const keys: string[] = [];
    for (let i = 0; i < users; i += 1) {
      const made = await createKey(client, { userId: `user-${i}`, role: 'user', name: 'sizing', expiresAt: null });
      keys.push(made.key);
    }
    return keys;
  } finally {
    await client.end();
  }
}

function readPrompt(agent: Agent, port: number, apiKey: string, promptId: string): Promise<void> {
  const headers = { authorization: `Bearer ${apiKey}` };
  return new Promise((resolve, reject) => {
    const sent = request({ agent, port, host: '127.0.0.1', path: `/prompts/${promptId}`, headers }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`a read was answered ${response.statusCode}`));
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

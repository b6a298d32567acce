/** Prompts through all hops with an instant model, from the first ask to the last read model; and the peers' same. */
import { Agent, request } from 'node:http';
import { until } from '../kit/until.ts';
import type { BenchEnvironment } from './environment.ts';
import { type PeerResult, runPeer } from './peer.ts';

export type Hops = { ours: number; graphile: PeerResult; pgBoss: PeerResult; bullmq: PeerResult };

/** Requests in flight, and jobs worked on at once, for everybody. */
const CONCURRENCY = 64;

export async function measureHops(environment: BenchEnvironment, count: number): Promise<Hops> {
  const stack = await environment.run(
    'testing/bench/stack-process.ts',
    { NUMBER_OF_WORKERS: String(CONCURRENCY) },
    /listening on (\d+)\./,
  );
  const startedAt = performance.now();
  await askAll(Number(stack.match[1]), environment.apiKey, count);
  type Progress = { open: number; behind: number };
  const text = `SELECT (SELECT count(*)::integer FROM outbox) AS open,
    (SELECT (h.position - c.position)::integer FROM log_head h, live_projection c WHERE c.name = 'prompts') AS behind`;
  await until(
    'all are in the read models',
    async () => {
      const [row] = await environment.query<Progress>(text);
      return row?.open === 0 && row.behind === 0;
    },
    180_000,
  );
  const ours = count / ((performance.now() - startedAt) / 1000);
  await stack.end();
  const options = { count, concurrency: CONCURRENCY, redisUri: environment.redisUri };
  const graphile = await runPeer('graphile-hops.mjs', {
    ...options,
    postgresUri: await environment.database('graphile'),
  });
  const pgBoss = await runPeer('pg-boss-hops.mjs', { ...options, postgresUri: await environment.database('pgboss') });
  const bullmq = await runPeer('bullmq-hops.mjs', options);
  return { ours, graphile, pgBoss, bullmq };
}

async function askAll(port: number, apiKey: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < count; i = next++)
      await ask(agent, port, apiKey, `Explain in two sentences why the sky is blue, ${i}.`);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  agent.destroy();
}

/** Resolves to the prompt's id when 202 has arrived. */
export function ask(agent: Agent, port: number, apiKey: string, prompt: string): Promise<string> {
  const body = JSON.stringify({ prompt, model: 'gemini-2.5-flash' });
  const headers = {
    authorization: `Bearer ${apiKey}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  return new Promise((resolve, reject) => {
    const sent = request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/ask', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => {
        if (response.statusCode === 202) resolve((JSON.parse(text) as { id: string }).id);
        else reject(new Error(`${response.statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Accepted asks per second, against pgbench doing the same two inserts and BullMQ adding to the same Redis. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BenchEnvironment, median } from './environment.ts';
import { runPeer } from './peer.ts';
import { findPgbench, findWrk } from './tools.ts';

export type Accepted = { ours: number; pgbench: number; bullmq: number; pgbenchClients: number; connections: number };

const PORT = '18480';
const ROUNDS = 3;
const PROMPT = 'Explain in two sentences why the sky is blue at noon and red in the evening.';

/** The same columns, sizes and indexes as an accepted ask; one transaction each. */
// A space after each colon: pgbench takes ":null" for a variable of its own.
const INSERTS = `BEGIN;
INSERT INTO bench_event VALUES (nextval('bench_position'), gen_random_uuid(), 1, gen_random_uuid(), 'PromptSubmitted', 1,
 '{"lane": "normal","mode": "answer","model": "gemini-2.5-flash","retry": "auto","prompt": "${PROMPT}","system": null,"userId": "bench","metadata": {},"costBound": 163865200,"expiresAt": null,"notBefore": null,"temperature": null,"priceVersion": "genai-prices@0.1.8","conversationId": null,"maxOutputTokens": null}',
 '{"actor": "user=bench","causationId": "6139156d-9591-4b2a-a303-99d745b76786","traceparent": null,"correlationId": "6139156d-9591-4b2a-a303-99d745b76786"}', clock_timestamp());
INSERT INTO bench_outbox (prompt_id, user_id, model, lane, due_at, opened_at) VALUES (gen_random_uuid(), 'bench', 'gemini-2.5-flash', 1, clock_timestamp(), clock_timestamp());
END;
`;

export async function measureAccepted(environment: BenchEnvironment, seconds: number): Promise<Accepted> {
  const work = mkdtempSync(join(tmpdir(), 'orchestrator-wrk-'));
  const lua = join(work, 'ask.lua');
  const sql = join(work, 'inserts.sql');
  writeFileSync(
    lua,
    `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.headers["Authorization"] = "Bearer ${environment.apiKey}"\nwrk.body = [[${JSON.stringify({ prompt: PROMPT, model: 'gemini-2.5-flash' })}]]\n`,
  );
  writeFileSync(sql, INSERTS);
  await environment.query(
    'CREATE TABLE bench_event (LIKE event INCLUDING ALL); CREATE TABLE bench_outbox (LIKE outbox INCLUDING ALL) WITH (fillfactor = 70); CREATE SEQUENCE bench_position',
  );
  const api = await environment.run('command-api/main.ts', { PORT, HOST: '127.0.0.1', ADMIN_PORT: '0' }, /is ready/);

  const ask = (connections: number, duration: number): number => {
    const output = run([
      ...findWrk(),
      '-t1',
      `-c${connections}`,
      `-d${duration}s`,
      '--timeout',
      '10s',
      '-s',
      lua,
      `http://127.0.0.1:${PORT}/ask`,
    ]);
    if (/Non-2xx/.test(output)) throw new Error(`asks were refused:\n${output}`);
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
  };
  const insert = (clients: number, duration: number): number =>
    Number(
      /tps = ([\d.]+)/.exec(
        run([
          ...findPgbench(),
          '-n',
          '-M',
          'prepared',
          '-c',
          String(clients),
          '-j',
          '2',
          '-T',
          String(duration),
          '-f',
          sql,
          environment.postgresUri,
        ]),
      )?.[1],
    );

  try {
    ask(64, 3); // warm up
    const clients = best([4, 8, 16, 32, 64], (n) => insert(n, 3));
    const connections = best([32, 64, 128, 256], (n) => ask(n, 3));
    const rounds = { ours: [] as number[], pgbench: [] as number[], bullmq: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      rounds.ours.push(ask(connections, seconds));
      rounds.pgbench.push(insert(clients, seconds));
      rounds.bullmq.push(
        (await runPeer('bullmq-add.mjs', { redisUri: environment.redisUri, concurrency: connections, seconds }))
          .perSecond,
      );
    }
    return {
      ours: median(rounds.ours),
      pgbench: median(rounds.pgbench),
      bullmq: median(rounds.bullmq),
      pgbenchClients: clients,
      connections,
    };
  } finally {
    await api.end();
    rmSync(work, { recursive: true, force: true });
  }
}

function best(candidates: number[], measure: (candidate: number) => number): number {
  const results = candidates.map((candidate) => ({ candidate, rate: measure(candidate) }));
  return results.sort((a, b) => b.rate - a.rate)[0]!.candidate;
}

function run([command = '', ...args]: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`);
  return stdout;
}

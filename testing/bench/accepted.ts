/** Accepted asks per second, against pgbench doing the same two inserts and BullMQ adding to the same Redis. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { best, CONNECTIONS, PROMPT, prepareAsks, run } from './asks.ts';
import { type BenchEnvironment, median } from './environment.ts';
import { runPeer } from './peer.ts';
import { findPgbench } from './tools.ts';

export type Accepted = { ours: number; pgbench: number; bullmq: number; pgbenchClients: number; connections: number };

const PORT = '18480';
const ROUNDS = 3;

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
  const work = mkdtempSync(join(tmpdir(), 'orchestrator-pgbench-'));
  const sql = join(work, 'inserts.sql');
  writeFileSync(sql, INSERTS);
  const asks = prepareAsks(environment);
  await environment.query(
    'CREATE TABLE bench_event (LIKE event INCLUDING ALL); CREATE TABLE bench_outbox (LIKE outbox INCLUDING ALL) WITH (fillfactor = 70); CREATE SEQUENCE bench_position',
  );
  const api = await environment.run('command-api/main.ts', { PORT, HOST: '127.0.0.1', ADMIN_PORT: '0' }, /is ready/);

  const ask = (connections: number, duration: number) => asks.perSecond(PORT, connections, duration);
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
    const connections = best(CONNECTIONS, (n) => ask(n, 3));
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
    asks.remove();
    rmSync(work, { recursive: true, force: true });
  }
}

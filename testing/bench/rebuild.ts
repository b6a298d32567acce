/** How fast all read models are rebuilt, beside how fast one process reads and parses the same rows; memory at two sizes. */
import pg from 'pg';
import { createPool } from '../../platform/postgres/pool.ts';
import { readAll, readHead, toEvent } from '../../platform/postgres/read.ts';
import { nodeOptionsOf } from '../kit/npm-scripts.ts';
import type { BenchEnvironment } from './environment.ts';
import { populate } from './population.ts';

export type RebuildFigures = {
  events: number;
  /** Events a second, from the first to the tables being whole with their indexes; median of three. */
  rebuilt: number;
  /** Of reading and parsing alone; median of three. */
  read: number;
  /** Largest resident size of the rebuilding process, bytes, and with a log a tenth as long. */
  rssBytes: number;
  smallRssBytes: number;
};

const ROUNDS = 3;
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

export async function measureRebuild(environment: BenchEnvironment, prompts: number): Promise<RebuildFigures> {
  const small = await environment.migratedDatabase('rebuild_small');
  await populate({ uri: small, prompts: Math.ceil(prompts / 10), users: 1_000, days: 30, readModels: false });
  const smallRssBytes = (await rebuildOnce(environment, small)).rssBytes;
  const uri = await environment.migratedDatabase('rebuild_large');
  const { events } = await populate({ uri, prompts, users: 1_000, days: 30, readModels: false });
  const read: number[] = [];
  const rebuilt: number[] = [];
  let rssBytes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    read.push(events / (await readOnce(uri)));
    const figures = await rebuildOnce(environment, uri);
    rebuilt.push(events / figures.seconds);
    rssBytes = Math.max(rssBytes, figures.rssBytes);
  }
  return { events, rebuilt: median(rebuilt), read: median(read), rssBytes, smallRssBytes };
}

async function readOnce(uri: string): Promise<number> {
  const pool = createPool({ uri, name: 'read', max: 1, statementTimeoutMs: 60_000, onError: () => {} });
  try {
    const head = await readHead(pool);
    const startedAt = performance.now();
    let seen = 0;
    while (seen < head) {
      const events = (await readAll(pool, seen, 2_000)).map(toEvent);
      seen = events.at(-1)!.position;
    }
    return (performance.now() - startedAt) / 1000;
  } finally {
    await pool.end();
  }
}

/** A process of its own; the version it makes is dropped again. */
async function rebuildOnce(environment: BenchEnvironment, uri: string): Promise<{ seconds: number; rssBytes: number }> {
  const { match, end } = await environment.run(
    'testing/bench/rebuild-process.ts',
    { POSTGRES_URI: uri },
    /rebuilt in ([\d.]+) s, (\d+) bytes/,
    { withinMs: 3_600_000, nodeOptions: nodeOptionsOf('replay') },
  );
  await end();
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    await client.query(
      `SELECT drop_projection_version_v2(name, version) FROM projection_version JOIN projection USING (name) WHERE version <> live_version`,
    );
  } finally {
    await client.end();
  }
  return { seconds: Number(match[1]), rssBytes: Number(match[2]) };
}

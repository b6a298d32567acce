/** What the end of a bulk phase makes of what lanes have written: sums, and what reads need; and how far that is. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { createWake } from '../../platform/wake.ts';
import { forVersion } from '../projection-store.ts';

const PROGRESS = readSql(import.meta.url, 'sql/index-progress.sql');
const LOOK_EVERY_MS = 500;

/**
 * Functions of the database, each of which does nothing when it was done. `weight`: how long each took beside the others, of
 * 180,000 events; `table`: on which it builds `indexes` that the server tells of. Sums tell nothing until they are there:
 * they come last, when there is a rate to go by.
 */
const PARTS = [
  { name: 'index_prompts_v1', weight: 5, table: 'prompt', indexes: 6 },
  { name: 'index_prompt_texts_v1', weight: 4, table: 'prompt_text', indexes: 1 },
  { name: 'merge_prompts_models_v1', weight: 9, table: null, indexes: 0 },
  { name: 'merge_prompts_usage_v3', weight: 19, table: null, indexes: 0 },
] as const;
const WEIGHT = PARTS.reduce((sum, { weight }) => sum + weight, 0);

export type IndexOptions = {
  /**
   * Prompts come in: one part after the other, each by one process of the server. Else all at once: that takes a connection
   * for each, and processors of the server for large indexes.
   */
  isLive?: boolean;
  /** How much of it is done, 0 to 1. */
  onShare?: ((share: number) => void) | undefined;
  logger?: { warn: (o: object, m: string) => void } | undefined;
};

export async function makeParts(pool: pg.Pool, version: number, { isLive = false, onShare, logger }: IndexOptions) {
  const done: number[] = PARTS.map(() => 0);
  const reach = (index: number, share: number) => {
    if (share <= done[index]!) return;
    done[index] = share;
    onShare?.(PARTS.reduce((sum, { weight }, i) => sum + weight * done[i]!, 0) / WEIGHT);
  };
  const make = async ({ name }: (typeof PARTS)[number], index: number) => {
    const settings = isLive ? 'BEGIN; SET LOCAL max_parallel_maintenance_workers = 0' : 'BEGIN';
    await inTransaction(pool, (client) => client.query(`SELECT ${name}($1)`, [version]), settings);
    reach(index, 1);
  };
  const watch = watchIndexes(pool, version, reach, logger);
  try {
    if (isLive) {
      for (const [index, part] of PARTS.entries()) await make(part, index);
    } else {
      const parts = await Promise.allSettled(PARTS.map(make));
      for (const part of parts) if (part.status === 'rejected') throw part.reason;
    }
  } finally {
    await watch.stop();
  }
}

function watchIndexes(
  pool: pg.Pool,
  version: number,
  reach: (index: number, share: number) => void,
  logger: IndexOptions['logger'],
) {
  const text = forVersion(PROGRESS, version);
  const seen = PARTS.map(() => new Set<string>());
  const wake = createWake();
  let stopped = false;

  async function look(): Promise<void> {
    type Row = { table: string; index: string; share: number };
    const { rows } = await inTransaction(pool, (client) => client.query<Row>(text), 'BEGIN; SET LOCAL ROLE NONE');
    for (const { table, index, share } of rows) {
      const part = PARTS.findIndex((one) => one.table !== null && table === `${one.table}_v${version}`);
      const built = seen[part]!.add(index).size - 1;
      reach(part, (built + share) / (PARTS[part]!.indexes + 1)); // statistics come last
    }
  }

  const watching = (async () => {
    for (await wake.wait(LOOK_EVERY_MS); !stopped; await wake.wait(LOOK_EVERY_MS)) await look();
  })().catch((error: unknown) => {
    // What broke this breaks the parts too, or is not worth breaking them for.
    logger?.warn({ err: error }, 'rebuild: how far its indexes are cannot be told any more');
  });
  return {
    stop: async () => {
      stopped = true;
      wake.ring();
      await watching;
    },
  };
}

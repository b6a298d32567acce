/** Compares two versions at one position, in one snapshot, while both go on. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore, forVersion, PROMPTS } from '../projection-store.ts';
import { RebuildError } from './refused.ts';

const CHECKSUM = readSql(import.meta.url, 'sql/checksum.sql');
const SIZES = readSql(import.meta.url, 'sql/table-sizes.sql');
const USERS = readSql(import.meta.url, 'sql/users-checksum.sql');
const TABLES = [
  'prompt',
  'prompt_text',
  'usage',
  'user_usage',
  'model_usage',
  'user_number',
  'model_user',
  'model_latency',
  'real_use',
];
/** Tables that hold numbers of users, which may be others in another version. */
const NUMBERED = new Set(['user_number', 'model_user']);
const CURSORS = `SELECT version, position FROM cursor WHERE name = $1 AND version = ANY ($2::integer[]) AND lane = 0
  ORDER BY version FOR UPDATE`;
const BATCH = 2_000;
/** Somebody always gets a batch further; most often the first try meets. */
const MOST_TRIES = 200;

export type Comparison = {
  /** Of both. */
  position: number;
  /** Tables that are not the same, byte for byte. */
  differing: string[];
};

export type CompareOptions = {
  batchSize?: number | undefined;
  /** Whether prompts come in: then one process of the server reads. */
  isLive?: () => Promise<boolean>;
  /** How much is read by now, 0 to 1, of what lies at this position. */
  onShare?: (share: number, position: number) => void;
};

export async function compareVersions(
  pool: pg.Pool,
  live: number,
  version: number,
  { batchSize = BATCH, isLive, onShare }: CompareOptions = {},
): Promise<Comparison> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const met = await atOnePosition(pool, live, version);
    if ('reader' in met) {
      const { reader, position } = met;
      try {
        if (await isLive?.()) await reader.query('SET LOCAL max_parallel_workers_per_gather = 0');
        const differing = await differingTables(reader, live, version, (share) => onShare?.(share, position));
        return { position, differing };
      } finally {
        reader.release(true); // its snapshot ends with it
      }
    }
    // What is served sets a stream aside as the projector does; a rebuild stops on it.
    await catchUp(pool, met, batchSize, met.behind === live ? 'park' : 'stop');
  }
  throw new RebuildError(`Versions ${live} and ${version} were never found at one position: is a projector stuck?`);
}

type Met = { reader: pg.PoolClient; position: number } | { behind: number; upTo: number };

/**
 * Both cursors are locked for as long as a snapshot takes. A projector that wants to move one of them waits for these
 * few milliseconds, and not for the comparison.
 */
async function atOnePosition(pool: pg.Pool, live: number, version: number): Promise<Met> {
  const locks = await pool.connect();
  let reader: pg.PoolClient | null = null;
  try {
    reader = await pool.connect();
    await locks.query('BEGIN');
    const { rows } = await locks.query<{ version: number; position: number }>(CURSORS, [PROMPTS, [live, version]]);
    const at = new Map(rows.map((row) => [row.version, row.position]));
    const [served, built] = [at.get(live), at.get(version)];
    if (served === undefined || built === undefined) throw new RebuildError(`Version ${version} is gone.`);
    if (served !== built) {
      reader.release();
      return served < built ? { behind: live, upTo: built } : { behind: version, upTo: served };
    }
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await reader.query('SELECT 1 FROM cursor LIMIT 1'); // the first statement takes the snapshot
    return { reader, position: served };
  } catch (error) {
    reader?.release(error as Error);
    throw error;
  } finally {
    // A connection that broke is released too, or the pool would wait for it for ever.
    await locks.query('ROLLBACK').then(
      () => locks.release(),
      (error: Error) => locks.release(error),
    );
  }
}

/** A projector may be at it too: the compare-and-set lets one of both through. */
async function catchUp(
  pool: pg.Pool,
  { behind, upTo }: { behind: number; upTo: number },
  batchSize: number,
  onPoison: 'park' | 'stop',
): Promise<void> {
  const store = createProjectionStore(pool, behind);
  for (;;) {
    const { status, position } = await projectBatch({ store, batchSize, upTo, onPoison });
    if (status === 'idle' || position >= upTo) return;
  }
}

async function differingTables(
  reader: pg.PoolClient,
  live: number,
  version: number,
  onShare: (share: number) => void,
): Promise<string[]> {
  const { rows } = await reader.query<{ name: string; bytes: number }>(SIZES, [live, version]);
  const bytes = new Map(rows.map((row) => [row.name, row.bytes]));
  const all = TABLES.reduce((sum, name) => sum + bytes.get(name)!, 0);
  const checksum = async (text: string, of: number) =>
    (await reader.query<{ checksum: string }>(forVersion(text, of))).rows[0]!.checksum;
  const differing: string[] = [];
  let read = 0;
  for (const name of TABLES) {
    const sums: string[] = [];
    for (const side of [live, version]) {
      sums.push(await checksum(CHECKSUM.replaceAll(':table:', name), side));
      read += bytes.get(name)! / 2;
      onShare(all > 0 ? Math.min(1, read / all) : 1);
    }
    if (sums[0] !== sums[1]) differing.push(name);
  }
  if (!differing.some((name) => NUMBERED.has(name))) return differing;
  const sameUsers = (await checksum(USERS, live)) === (await checksum(USERS, version));
  return sameUsers ? differing.filter((name) => !NUMBERED.has(name)) : differing;
}

/** A log of whole histories, folded as a projector does it, and a folder for its archive. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type Archived, type ArchiveOptions, archiveLog } from '../../cli/archiving/archive-log.ts';
import type { AppendEvents } from '../../platform/postgres/append.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readHead } from '../../platform/postgres/read.ts';
import { projectBatch } from '../../projector/project-batch.ts';
import { createProjectionStore } from '../../projector/projection-store.ts';
import { type RebuildOptions, type Rebuilt, rebuild } from '../../projector/rebuild/rebuild.ts';
import { type After, createTestDatabase, type TestDatabase } from './database.ts';
import { appendHistory } from './histories.ts';
import { readModels } from './read-models.ts';

export type ArchivedLog = {
  database: TestDatabase;
  /** Of the services' role. */
  pool: pg.Pool;
  append: AppendEvents;
  dir: string;
  /** Histories of so many prompts more; their ids. */
  write: (prompts: number) => Promise<string[]>;
  project: (version?: number) => Promise<void>;
  /** Everything before a position, by default all there is, however young. */
  archive: (options?: Partial<ArchiveOptions>) => Promise<Archived>;
  /** By table without its version. */
  tables: (version: number) => Promise<Record<string, string[]>>;
};

export const folder = (t: After): string => {
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-archive-'));
  t.after(async () => rmSync(dir, { recursive: true }));
  return dir;
};

export async function createLog(t: After, prompts = 0): Promise<ArchivedLog> {
  const database = await createTestDatabase(t);
  const pool = createPool({ uri: database.uri, name: 'archived-log', max: 4, onError: () => {} });
  t.after(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  t.after(appender.stop);
  const dir = folder(t);
  let written = 0;
  const log: ArchivedLog = {
    database,
    pool,
    append: appender.append,
    dir,
    write: (n) => {
      written += n;
      return Promise.all(Array.from({ length: n }, (_, i) => appendHistory(appender.append, written - n + i)));
    },
    project: async (version = 1) => {
      const store = createProjectionStore(pool, version);
      while ((await projectBatch({ store, batchSize: 500, onPoison: 'park' })).status !== 'idle');
    },
    archive: async (options) =>
      archiveLog({
        uri: database.uri,
        before: { position: (await readHead(pool)) + 1 },
        dir,
        dryRun: false,
        keepSeconds: 0,
        ...options,
      }),
    tables: async (version) =>
      Object.fromEntries(
        Object.entries(await readModels(database.pool, version)).map(([name, rows]) => [
          name.replace(/_v\d+$/, ''),
          rows,
        ]),
      ),
  };
  if (prompts > 0) {
    await log.write(prompts);
    await log.project();
  }
  return log;
}

/** Every event of the table, as text. */
export const stored = async ({ database }: ArchivedLog) =>
  (
    await database.pool.query<{ position: number; stream_id: string; row: string }>(
      'SELECT position, stream_id, e::text AS row FROM event e ORDER BY position',
    )
  ).rows;

/** A rebuild in small pages, with the log's own archive unless another is named. */
export const replay = (log: ArchivedLog, over: Partial<RebuildOptions> = {}): Promise<Rebuilt> =>
  rebuild({
    uri: log.database.uri,
    archiveDir: log.dir,
    dryRun: false,
    lanes: 3,
    batchSize: 40,
    onProgress: () => {},
    ...over,
  });

/** What was multiplied beside what the product makes of the same log. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { archiveLog } from '../../../cli/archiving/archive-log.ts';
import { auditLedger } from '../../../projector/ledger/audit.ts';
import { remakeLedger } from '../../../projector/ledger/remake.ts';
import { rebuild } from '../../../projector/rebuild/rebuild.ts';
import type { ArchiveTo } from './archive.ts';
import { asOwner, withPool } from './base.ts';

/** Tables of the read models that are not what a rebuild makes of the log and its archive. */
export async function notAsFolded(uri: string, archiveDir?: string): Promise<string[]> {
  const { equal, differing } = await rebuild({ uri, archiveDir, dryRun: true, lanes: 2, onProgress: () => {} });
  return equal === false && differing.length === 0 ? ['unknown'] : differing;
}

/** Sums of the read models that are not those of the ledger. */
export const unequalSums = (uri: string): Promise<number> =>
  withPool(uri, async (pool) => (await auditLedger(pool))?.sums ?? Number.NaN);

/** The ledger is what is posted from the log, which is whole. */
export const isPosted = (uri: string): Promise<boolean> =>
  withPool(uri, async (pool) => {
    const { outcome } = await remakeLedger(pool, { dryRun: true, onProgress: () => {} });
    return outcome === 'equal';
  });

export async function archiveByTool(uri: string, { dir, before }: ArchiveTo): Promise<void> {
  await archiveLog({ uri, dir, before: { time: before }, dryRun: false });
}

export type WithArchive = { uri: string; dir: string };

/** Tables, privileges and files that are in one of two databases, or of two archives, what they are not in the other. */
export async function differences(a: WithArchive, b: WithArchive): Promise<string[]> {
  const [of, than] = [await contentsOf(a), await contentsOf(b)];
  const names = [...new Set([...of.keys(), ...than.keys()])].sort();
  return names.filter((name) => of.get(name) !== than.get(name));
}

/** Where the rows of all tables lie does not count. A manifest has the checksums of its files. */
async function contentsOf({ uri, dir }: WithArchive): Promise<Map<string, string>> {
  const tables = await asOwner<{ name: string }>(
    uri,
    `SELECT relname AS name FROM pg_class
      WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
        AND relname <> 'projection' -- has the last version's number, of which a rebuild that only compares takes one
      `,
  );
  const contents = new Map<string, string>();
  for (const { name } of tables) contents.set(name, await checksumOf(uri, name));
  const [writers] = await asOwner<{ granted: string }>(
    uri,
    `SELECT string_agg(proname || proacl::text, ' ' ORDER BY proname) AS granted FROM pg_proc WHERE proname ~ '^append_events'`,
  );
  contents.set('who may append', writers!.granted);
  contents.set('manifest.json', readFileSync(join(dir, 'manifest.json'), 'utf8'));
  return contents;
}

async function checksumOf(uri: string, table: string): Promise<string> {
  const [row] = await asOwner<{ checksum: string }>(
    uri,
    `SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS checksum FROM ${table} t`,
  );
  return row!.checksum;
}

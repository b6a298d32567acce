/** That multiplying a log gives what the product makes of it, before it is done many times over. */
import { join } from 'node:path';
import type { ArchiveTo } from './archive.ts';
import { archiveByTool, differences, isPosted, notAsFolded, unequalSums } from './check.ts';
import { copiedBytes, folderBytes } from './disk.ts';
import { multiply } from './multiply.ts';

export type Proving = {
  /** A database that is a copy of the log that is multiplied. */
  copyOf: (name: string) => Promise<string>;
  drop: (name: string) => Promise<void>;
  users: number;
  prompts: number;
  /** Null: nothing is to be archived. */
  before: string | null;
  folder: string;
};

export const PROVED_COPIES = 3;

/**
 * Throws unless the ledger is what is posted from the log, the archive and what is left what the tool leaves of the same log, and
 * the read models what a rebuild makes of both. Out: bytes that a copy takes on disk, its share of the archive included.
 */
export async function prove({ copyOf, drop, users, prompts, before, folder }: Proving): Promise<number> {
  const shape = { copies: PROVED_COPIES, users, prompts, tell: () => {} };
  const whole = await copyOf('whole');
  await multiply({ ...shape, uri: whole, archive: null });
  const wrong: string[] = [];
  if (!(await isPosted(whole))) wrong.push('the ledger is not what is posted');
  let [uri, archive] = [whole, null as ArchiveTo | null];
  if (before !== null) {
    const tool = { dir: join(folder, 'by-tool'), before };
    await archiveByTool(whole, tool);
    uri = await copyOf('beheaded');
    archive = { dir: join(folder, 'by-generator'), before };
    await multiply({ ...shape, uri, archive });
    const other = await differences({ uri, dir: archive.dir }, { uri: whole, dir: tool.dir });
    if (other.length > 0) wrong.push(`the tool leaves others: ${other}`);
  }
  const bytes = (await copiedBytes(uri)) + (archive ? folderBytes(archive.dir) : 0);
  const differing = await notAsFolded(uri, archive?.dir);
  if (differing.length > 0) wrong.push(`a rebuild makes others: ${differing}`);
  const sums = await unequalSums(uri);
  if (sums !== 0) wrong.push(`${sums} sums are not the ledger's`);
  if (wrong.length > 0) throw new Error(`multiplied by ${PROVED_COPIES}: ${wrong.join('; ')}`);
  for (const name of before === null ? ['whole'] : ['whole', 'beheaded']) await drop(name);
  return bytes / PROVED_COPIES;
}

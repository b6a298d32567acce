/**
 * The release after this one, as a copy of this one: an event of a further schema version, as doc/how-to tells to make it,
 * and two migrations that this release runs on. Its services cancel prompts with the new version.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SCHEMA_VERSION } from '../../contracts/schema-version.ts';
import { apply, blocksOf } from '../kit/worked-examples.ts';
import { buildConsole } from './fleet.ts';
import { copyProject, type ProjectCopy } from './project-copy.ts';

const CHANGE = 'add-a-field-to-an-event';
/** The event that it changes, and the version that it writes. */
export const CHANGED = { type: 'PromptCancelled', schemaVersion: 2 };

/** Of the busiest table, under a lock that waits for all who use it; and an index of the log. */
const MIGRATIONS: Record<string, string> = {
  [`${SCHEMA_VERSION + 1}_cancel_reason.sql`]: `-- Why its user no longer wants it: kept on the row while an attempt is still to be told.
SET LOCAL lock_timeout = '2s';
ALTER TABLE outbox ADD COLUMN cancel_reason text;
`,
  [`${SCHEMA_VERSION + 2}_cancelled_idx.sql`]: `-- postgres-migrations disable-transaction
CREATE INDEX CONCURRENTLY event_cancelled_idx ON event (position) WHERE type = '${CHANGED.type}';
`,
};

export type NextRelease = ProjectCopy & {
  /** Names of the migrations that this release does not have. */
  migrations: string[];
  /** Runs one of its command-line tools on a database; what it printed. Rejects with that when it does not end with 0. */
  tool: (uri: string, file: string, ...args: string[]) => Promise<string>;
};

export function makeNextRelease(): NextRelease {
  const from = `SCHEMA_VERSION = ${SCHEMA_VERSION};`;
  const to = `SCHEMA_VERSION = ${SCHEMA_VERSION + Object.keys(MIGRATIONS).length};`;
  const copy = copyProject([{ file: 'contracts/schema-version.ts', from, to }]);
  try {
    for (const block of blocksOf(CHANGE)) apply(copy.root, block);
    for (const [name, text] of Object.entries(MIGRATIONS)) writeFileSync(join(copy.root, 'migrations', name), text);
    buildConsole(copy.root);
  } catch (error) {
    copy.remove();
    throw error;
  }
  return {
    ...copy,
    migrations: Object.keys(MIGRATIONS),
    tool: async (uri, file, ...args) => {
      const env = { PATH: process.env['PATH'] ?? '', POSTGRES_URI: uri };
      const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], { cwd: copy.root, env });
      return stdout;
    },
  };
}

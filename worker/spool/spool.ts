/**
 * Answers that Postgres could not take yet, on disk: paid for, and not to be lost with the process; and of claims that it
 * did not answer, that they were not called. One file each, made under another name, fsynced and renamed; removed when
 * it is on record. Settling is idempotent by the attempt's token, so a file that is settled twice, or by two workers,
 * changes nothing.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open as openFile, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { AttemptResult } from '../../contracts/prompt/decide.ts';
import { open, SpoolDamagedError, seal } from './spool-file.ts';

/** What settling needs, without the state that is read anew. */
export type HeldAnswer = {
  promptId: string;
  attempt: number;
  token: string;
  traceparent: string | null;
  correlationId: string;
  result: AttemptResult;
};

export type Spool = {
  /** Durable when it resolves. Rejects when the disk is full or gone: the answer is then held in memory alone. */
  put: (answer: HeldAnswer) => Promise<void>;
  /** On record now; of an answer that was never put it does nothing. */
  remove: (token: string) => Promise<void>;
  /** What an earlier process left. Damaged files are set aside, and told. */
  held: () => Promise<HeldAnswer[]>;
};

const SUFFIX = '.answer';
const DRAFT = '.draft';
const DAMAGED = '.damaged';
const DRAFT_IS_DEAD_MS = 3_600_000;

export type SpoolOptions = {
  dir: string;
  key: Buffer;
  logger: { error: (o: object, m: string) => void };
};

export async function openSpool({ dir, key, logger }: SpoolOptions): Promise<Spool> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const fileOf = (token: string) => join(dir, `${token}${SUFFIX}`);

  async function read(name: string): Promise<HeldAnswer | null> {
    const file = join(dir, name);
    try {
      return open(key, name, await readFile(file)) as HeldAnswer;
    } catch (error) {
      if (isMissing(error)) return null; // another worker has settled it
      if (error instanceof SpoolDamagedError) {
        logger.error({ err: error, file }, 'spool: a file is damaged and set aside; its attempt stays unknown');
        await rename(file, `${file}${DAMAGED}`).catch((cause: unknown) =>
          logger.error({ err: cause, file }, 'spool: it could not be set aside'),
        );
      } else {
        // Another database's, or not readable now: it stays as it is, and keeps none of the others.
        logger.error({ err: error, file }, 'spool: a file cannot be read and is left where it is');
      }
      return null;
    }
  }

  return {
    put: async (answer) => {
      const file = fileOf(answer.token);
      // Of this write alone: workers may share the folder, and write the same answer at once.
      const draft = `${file}.${randomBytes(6).toString('hex')}${DRAFT}`;
      try {
        const handle = await openFile(draft, 'w', 0o600);
        try {
          await handle.writeFile(seal(key, basename(file), answer));
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(draft, file);
      } catch (error) {
        await rm(draft, { force: true }).catch(() => {}); // a full disk may refuse this too; drafts of old are taken away
        throw error;
      }
      await syncFolder(dir); // the name too must survive a power cut
    },
    remove: async (token) => {
      await rm(fileOf(token), { force: true });
    },
    held: async () => {
      const names = await readdir(dir);
      for (const name of names.filter((one) => one.endsWith(DRAFT))) await removeIfOld(join(dir, name), logger);
      const answers: HeldAnswer[] = [];
      for (const name of names.filter((one) => one.endsWith(SUFFIX))) {
        const answer = await read(name);
        if (answer) answers.push(answer);
      }
      return answers;
    },
  };
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** A draft takes moments to write; one of old has no writer any more. By age: pids say nothing across containers. */
async function removeIfOld(draft: string, logger: SpoolOptions['logger']): Promise<void> {
  try {
    const { mtimeMs } = await stat(draft);
    if (Date.now() - mtimeMs > DRAFT_IS_DEAD_MS) await rm(draft, { force: true });
  } catch (error) {
    if (isMissing(error)) return; // its writer has just renamed it
    logger.error({ err: error, draft }, 'spool: what is left of an old write cannot be taken away');
  }
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await openFile(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

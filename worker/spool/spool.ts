/**
 * Answers that Postgres could not take yet, on disk: paid for, and not to be lost with the process. One file each, made
 * under another name, fsynced and renamed; removed when the answer is on record. Settling is idempotent by the attempt's
 * token, so a file that is settled twice, or by two workers, changes nothing.
 */
import { mkdir, open as openFile, readdir, readFile, rename, rm } from 'node:fs/promises';
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

export type SpoolOptions = {
  dir: string;
  key: Buffer;
  logger: { error: (o: object, m: string) => void };
};

export async function openSpool({ dir, key, logger }: SpoolOptions): Promise<Spool> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const fileOf = (token: string) => join(dir, `${token}${SUFFIX}`);

  async function read(file: string): Promise<HeldAnswer | null> {
    try {
      return open(key, basename(file), await readFile(file)) as HeldAnswer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null; // another worker has settled it
      if (!(error instanceof SpoolDamagedError)) throw error;
      logger.error({ err: error, file }, 'spool: a file is damaged and set aside; its attempt stays unknown');
      await rename(file, `${file}${DAMAGED}`);
      return null;
    }
  }

  return {
    put: async (answer) => {
      const file = fileOf(answer.token);
      const draft = `${file}.${process.pid}${DRAFT}`;
      const handle = await openFile(draft, 'w', 0o600);
      try {
        await handle.writeFile(seal(key, basename(file), answer));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(draft, file);
      await syncFolder(dir); // the name too must survive a power cut
    },
    remove: async (token) => {
      await rm(fileOf(token), { force: true });
    },
    held: async () => {
      const names = await readdir(dir);
      // Nobody was told of a draft: its writer died before it was whole.
      for (const name of names.filter((one) => isDeadDraft(one))) await rm(join(dir, name), { force: true });
      const answers: HeldAnswer[] = [];
      for (const name of names.filter((one) => one.endsWith(SUFFIX))) {
        const answer = await read(join(dir, name));
        if (answer) answers.push(answer);
      }
      return answers;
    },
  };
}

/** A draft names its writer's pid: workers may share the folder, and one that lives is still writing. */
function isDeadDraft(name: string): boolean {
  const pid = new RegExp(`\\.(\\d+)${DRAFT}$`).exec(name)?.[1];
  if (pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
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

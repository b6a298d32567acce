/** Where the running embedded stack is, for the command-line tools: a file in DATA_DIR that only its user can read. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type StackFile = { address: string; postgresUri: string; redisUri: string; pid: number };

const fileIn = (dataDir: string): string => join(dataDir, 'stack.json');

export const writeStackFile = (dataDir: string, stack: StackFile): void =>
  writeFileSync(fileIn(dataDir), `${JSON.stringify(stack)}\n`, { mode: 0o600 });
export const removeStackFile = (dataDir: string): void => rmSync(fileIn(dataDir), { force: true });

/** Null when no stack runs on this folder, or it ended without removing its file. */
export function readStackFile(dataDir: string): StackFile | null {
  const file = fileIn(dataDir);
  if (!existsSync(file)) return null;
  const stack = JSON.parse(readFileSync(file, 'utf8')) as StackFile;
  try {
    process.kill(stack.pid, 0);
    return stack;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return null;
    return stack; // EPERM: it lives, as another user
  }
}

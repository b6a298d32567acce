/** The project once more, with changes, in a folder of its own: services run from there beside those of this one. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

export type Edit = { file: string; from: string; to: string };
export type ProjectCopy = { root: string; remove: () => void };

/** Shares the packages, and has no documentation; throws when the code that an edit is about has changed. */
export function copyProject(edits: Edit[]): ProjectCopy {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'orchestrator-copy-')));
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of files.split('\n')) {
    if (file === '' || /^(doc|testing\/data|\.)/.test(file)) continue;
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(join(ROOT, file), join(root, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  for (const { file, from, to } of edits) {
    const text = readFileSync(join(root, file), 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not have this once: ${from}`);
    writeFileSync(
      join(root, file),
      text.replace(from, () => to),
    );
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** The worked examples of doc/how-to: blocks that name a file, and how they are put into a copy of the project. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** `diff`: changes a file; any other kind is a new one. */
export type Block = { page: string; kind: string; file: string; text: string };

export const pageOf = (page: string): string => readFileSync(join(ROOT, 'doc/how-to', `${page}.md`), 'utf8');

export const blocksOf = (page: string): Block[] =>
  [...pageOf(page).matchAll(/^```(\w+) (\S+)\n(.*?)^```$/gms)].map(([, kind = '', file = '', text = '']) => ({
    page,
    kind,
    file,
    text,
  }));

/**
 * Hunks are told apart by `@@`; throws unless what a hunk takes away, with the lines around it, stands in the text exactly
 * once.
 */
export function patch(file: string, text: string, diff: string): string {
  return diff.split(/^@@\n/m).reduce((patched, hunk) => {
    const lines = hunk.split('\n').filter((line) => line !== '');
    const side = (left: string) =>
      lines
        .filter((line) => line.startsWith(left) || line.startsWith(' '))
        .map((line) => `${line.slice(1)}\n`)
        .join('');
    const [before, after] = [side('-'), side('+')];
    if (patched.split(before).length !== 2) throw new Error(`${file} does not have this once:\n${before}`);
    return patched.replace(before, () => after);
  }, text);
}

/** Throws when a block does not fit the copy at `root`. */
export function apply(root: string, { kind, file, text }: Block): void {
  const path = join(root, file);
  if (kind === 'diff') {
    writeFileSync(path, patch(file, readFileSync(path, 'utf8'), text));
    return;
  }
  if (existsSync(path)) throw new Error(`${file} is there already`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

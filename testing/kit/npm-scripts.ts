/** The commands of package.json. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

/** Word by word. */
export const commandOf = (script: string): string[] => scripts[script]!.split(' ');

/** What it tells Node in the form `--max-semi-space-size=8`. */
export const nodeOptionsOf = (script: string): string[] => commandOf(script).filter((word) => /^--[\w-]+=/.test(word));

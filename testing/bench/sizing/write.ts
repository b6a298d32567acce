/** Where the figures of a run go. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../environment.ts';
import { type Figures, writeFigures } from './figures.ts';
import { PAGE, withPart } from './page.ts';

export function writeSizing(figures: Figures): void {
  const file = join(ROOT, PAGE);
  const page = withPart(readFileSync(file, 'utf8'), figures);
  writeFigures(figures);
  writeFileSync(file, page);
}

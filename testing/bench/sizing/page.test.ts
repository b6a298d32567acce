/** Figures are on the page as they were measured, and nowhere but where they are written. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Figures, readFigures } from './figures.ts';
import { PAGE, proseOf, withPart } from './page.ts';

const figures = readFigures();
const page = readFileSync(join(import.meta.dirname, '../../..', PAGE), 'utf8');
const changed = (change: (figures: Figures) => void): string => {
  const copy = structuredClone(figures);
  change(copy);
  return withPart(page, copy);
};

describe('the page of sizes', () => {
  test('has no figure outside of what is written', () => {
    const prose = proseOf(page);
    assert.ok(prose.length > 1_000);
    assert.deepEqual(prose.match(/\d+(\.\d+)? ?(ms|s|%|×|[KMG]i?B|cores?|bytes)\b/g), null);
  });

  test('says of each goal whether it was reached', () => {
    const said = changed(({ ready, workers }) => {
      ready[0]!.coldSeconds[1] = 2.01;
      ready[1]!.coldSeconds = [1.9, 2, 1];
      ready[1]!.warmSeconds = [1, 1, 1];
      Object.assign(workers, { one: 100, two: 179 });
    });
    assert.match(said, new RegExp(`^\\| ${figures.ready[0]!.service} \\|.* ≤ 2 s missed \\|$`, 'm'));
    assert.match(said, new RegExp(`^\\| ${figures.ready[1]!.service} \\|.* ≤ 2 s ✓ \\|$`, 'm'));
    assert.match(said, /1\.79 ×, ≥ 1\.8 × missed/);
    assert.match(
      changed(({ workers }) => Object.assign(workers, { one: 100, two: 180 })),
      /1\.80 ×, ≥ 1\.8 × ✓/,
    );
  });

  test('adds up tables and indexes, and carries them on to a million prompts', () => {
    const said = changed(({ growth }) => {
      growth.tables = [
        {
          table: 'event',
          rowsPerPrompt: 3,
          bytesPerPrompt: 4_000,
          indexes: [{ index: 'event_pkey', bytesPerPrompt: 60 }],
        },
        { table: 'prompt', rowsPerPrompt: 1, bytesPerPrompt: 900, indexes: [] },
      ];
    });
    assert.match(said, /^\| \*\*event\*\* \| 4,060 \| \*\*4\.06 GB\*\* \|$/m);
    assert.match(said, /^\| \*\*all\*\* \| 4,960 \| \*\*4\.96 GB\*\* \|$/m);
    assert.match(said, /grows by 4\.96 GB a day/);
  });

  test('without the part that is written is refused', () => {
    assert.throws(() => withPart('# Size it\n', figures), /has no part that begins with/);
  });
});

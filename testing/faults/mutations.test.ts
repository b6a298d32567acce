import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mutations } from './mutations.ts';

test('what each mutation changes is there, once', () => {
  const odd = mutations.flatMap(({ name, edits }) =>
    edits
      .filter(
        ({ file, from }) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8').split(from).length !== 2,
      )
      .map(({ file, from }) => `${name}: ${file}: ${from}`),
  );
  assert.deepEqual(odd, []);
});

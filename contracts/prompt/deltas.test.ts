import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Contribution, measures, noSums } from './contribution.ts';
import { createDeltas, overAllUsers } from './deltas.ts';

const one: fc.Arbitrary<{ contribution: Contribution; sign: 1 | -1 }> = fc
  .record({
    bucket: fc.constantFrom('2026-01-01T00:00:00.000Z', '2026-01-01T00:15:00.000Z'),
    user_id: fc.constantFrom('ada', 'bo', ''),
    model: fc.constantFrom('m', 'n'),
    emulated: fc.boolean(),
    measure: fc.constantFrom(...measures),
    n: fc.nat(9),
    bins: fc.array(fc.nat(3071), { maxLength: 3 }),
    sign: fc.constantFrom(1 as const, -1 as const),
  })
  .map(({ measure, n, bins, sign, ...key }) => ({
    contribution: { key, sums: { ...noSums(), [measure]: n }, bins },
    sign,
  }));

test('over all users there is what one user would have who had asked it all', () => {
  fc.assert(
    fc.property(fc.array(one), (all) => {
      const [apart, together] = [createDeltas(), createDeltas()];
      for (const { contribution, sign } of all) {
        apart.add([contribution], sign);
        together.add([{ ...contribution, key: { ...contribution.key, user_id: '' } }], sign);
      }
      const isSome = (row: ReturnType<typeof overAllUsers>[number]) =>
        row.bins.length > 0 || measures.some((name) => row[name] !== 0);
      const placeOf = ({ bucket, model, emulated }: { bucket: string; model: string; emulated: boolean }) =>
        `${bucket} ${model} ${emulated}`;
      const inOrder = (rows: ReturnType<typeof overAllUsers>) =>
        rows.filter(isSome).toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
      assert.deepEqual(inOrder(overAllUsers(apart.usage())), inOrder(together.usage()));
    }),
  );
});

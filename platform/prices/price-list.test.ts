import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readPriceList } from './price-list.ts';

const price = { inputPerMillion: '0.30', outputPerMillion: '2.50' };
const list = (...prices: object[]) => ({ models: [{ model: 'm', prices }] });
const faultsOf = (json: unknown) => readPriceList(json).faults.map(({ pointer, message }) => `${pointer}: ${message}`);
const NOT_A_PRICE = 'must be USD for a million tokens like "0.30", at most nine digits after the point';

test('every field has its place', () => {
  const { models, faults } = readPriceList({
    description: 'contract of 2027',
    models: [
      {
        model: 'gemini-2.5-pro',
        prices: [
          { ...price, to: '2027-01-01' },
          {
            from: '2027-01-01T01:00:00+01:00',
            inputPerMillion: '1.25',
            cachedInputPerMillion: '0.125',
            outputPerMillion: '0.000000001',
            tiers: [
              { above: 200_000, inputPerMillion: '2.5', cachedInputPerMillion: '0', outputPerMillion: '15' },
              { above: 400_000, inputPerMillion: '5', cachedInputPerMillion: '1', outputPerMillion: '1000' },
            ],
          },
        ],
      },
    ],
  });
  const newYear = Date.UTC(2027, 0, 1);
  const usd = 1_000_000_000n;
  assert.deepEqual(faults, []);
  assert.deepEqual(models, [
    {
      model: 'gemini-2.5-pro',
      periods: [
        {
          from: -Infinity,
          to: newYear,
          bands: [{ above: -1, rates: { input: 300_000_000n, cachedInput: 300_000_000n, output: 2_500_000_000n } }],
        },
        {
          from: newYear,
          to: Infinity,
          bands: [
            { above: -1, rates: { input: 1_250_000_000n, cachedInput: 125_000_000n, output: 1n } },
            { above: 200_000, rates: { input: 2_500_000_000n, cachedInput: 0n, output: 15n * usd } },
            { above: 400_000, rates: { input: 5n * usd, cachedInput: usd, output: 1_000n * usd } },
          ],
        },
      ],
    },
  ]);
});

test('a price without an end holds until the next begins', () => {
  const { models, faults } = readPriceList(list(price, { ...price, from: '2027-01-01' }));
  assert.deepEqual(faults, []);
  assert.equal(models[0]?.periods[0]?.to, Date.UTC(2027, 0, 1));
});

describe('is refused', () => {
  const tiers = (...more: object[]) => list({ ...price, tiers: more });
  const cases: [what: string, json: unknown, faults: string[]][] = [
    ['what is no object', [], [': must be an object']],
    ['a file without models', {}, ['/models: is required']],
    ['an empty list', { models: [] }, ['/models: must be a list, not an empty one']],
    ['a model without prices', list(), ['/models/0/prices: must be a list, not an empty one']],
    [
      'a field that nobody knows',
      { ...list({ ...price, 'a/b': 1 }), x: 1 },
      ['/x: is not a known field', '/models/0/prices/0/a~1b: is not a known field'],
    ],
    ['a missing price', list({ inputPerMillion: '1' }), ['/models/0/prices/0/outputPerMillion: is required']],
    [
      'a negative price',
      list({ ...price, inputPerMillion: '-0.30' }),
      ['/models/0/prices/0/inputPerMillion: must not be negative'],
    ],
    [
      'a number',
      list({ ...price, inputPerMillion: 0.3 }),
      ['/models/0/prices/0/inputPerMillion: must be a string, "0.30": JSON’s numbers are not exact'],
    ],
    ...['free', '1e3', ' 1', '.5', '1.', '0.1234567891', '', null].map((odd): [string, unknown, string[]] => [
      `the price ${JSON.stringify(odd)}`,
      list({ ...price, outputPerMillion: odd }),
      [`/models/0/prices/0/outputPerMillion: ${NOT_A_PRICE}`],
    ]),
    [
      'a price of a different unit',
      list({ ...price, cachedInputPerMillion: '1000.000000001' }),
      ['/models/0/prices/0/cachedInputPerMillion: is more than 1000 USD for a million tokens'],
    ],
    [
      'tiers out of order',
      tiers({ above: 200, ...price }, { above: 100, ...price }, { above: 100, ...price }),
      [
        '/models/0/prices/0/tiers/1/above: is not above the 200 of the tier before: tiers go up',
        '/models/0/prices/0/tiers/2/above: is not above the 100 of the tier before: tiers go up',
      ],
    ],
    [
      'a tier of no count',
      tiers({ above: '200', ...price }, { above: 0, ...price }, price),
      [
        '/models/0/prices/0/tiers/0/above: must be a whole number of input tokens, 1 or more',
        '/models/0/prices/0/tiers/1/above: must be a whole number of input tokens, 1 or more',
        '/models/0/prices/0/tiers/2/above: is required',
      ],
    ],
    [
      'a tier that forgets the cached price',
      list({ ...price, cachedInputPerMillion: '0.03', tiers: [{ above: 1, ...price }] }),
      ['/models/0/prices/0/tiers/0/cachedInputPerMillion: is required: the price below this tier has one'],
    ],
    [
      'dates that overlap',
      list({ ...price, to: '2027-02-01' }, { ...price, from: '2027-01-01' }),
      ['/models/0/prices/1/from: overlaps: the price before ends at 2027-02-01T00:00:00.000Z'],
    ],
    [
      'a gap between dates',
      list({ ...price, to: '2027-01-01' }, { ...price, from: '2027-02-01' }),
      ['/models/0/prices/1/from: leaves a gap: the price before ends at 2027-01-01T00:00:00.000Z'],
    ],
    [
      'dates out of order',
      list({ ...price, from: '2027-02-01' }, { ...price, from: '2027-01-01' }),
      [
        '/models/0/prices/1/from: overlaps: the price before begins at 2027-02-01T00:00:00.000Z; prices go in order of time',
      ],
    ],
    [
      'an end before its beginning',
      list({ ...price, from: '2027-02-01', to: '2027-02-01' }),
      ['/models/0/prices/0/to: is not after from'],
    ],
    [
      'a second price that begins at no date',
      list(price, price),
      ['/models/0/prices/1/from: is required: only the first price may begin at no date'],
    ],
    ...['2027-02-30', 'soon', 5, '2027-01-01 00:00:00'].map((odd): [string, unknown, string[]] => [
      `the date ${JSON.stringify(odd)}`,
      list({ ...price, from: odd }),
      ['/models/0/prices/0/from: must be a date or time like 2027-01-01 or 2027-01-01T00:00:00Z'],
    ]),
    [
      'a model that stands twice',
      { models: [...list(price).models, { model: 'n', prices: [price] }, ...list(price).models] },
      ['/models/2/model: stands at /models/0 already'],
    ],
    [
      'a model without a name',
      { models: [{ model: 'a b', prices: [price] }] },
      ['/models/0/model: must be the name of a model, letters, digits and .:/@_-'],
    ],
  ];
  for (const [what, json, faults] of cases) test(what, () => assert.deepEqual(faultsOf(json), faults));

  test('all at once', () => {
    const json = {
      models: [
        {
          model: 'm',
          prices: [
            { ...price, to: '2027-02-01', inputPerMillion: '-1' },
            { ...price, from: '2027-01-01' },
          ],
        },
        { model: 'm', price: [], prices: [{ outputPerMillion: 'x' }] },
      ],
    };
    assert.deepEqual(faultsOf(json), [
      '/models/0/prices/0/inputPerMillion: must not be negative',
      '/models/0/prices/1/from: overlaps: the price before ends at 2027-02-01T00:00:00.000Z',
      '/models/1/price: is not a known field',
      '/models/1/prices/0/inputPerMillion: is required',
      `/models/1/prices/0/outputPerMillion: ${NOT_A_PRICE}`,
      '/models/1/model: stands at /models/0 already',
    ]);
  });
});

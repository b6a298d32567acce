import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelFor, parseSwap, pricesName, strangers, swapFault } from './what-if.ts';

const names = new Set(['a', 'b', 'c']);
const swaps = (...texts: string[]) => texts.map(parseSwap);

test('a model stands for all that no pair names', () => {
  const swapped = modelFor(swaps('c', 'a=b'));
  assert.deepEqual(['a', 'b', 'x'].map(swapped), ['b', 'c', 'c']);
  assert.deepEqual(['a', 'b', 'x'].map(modelFor(swaps('a=b'))), ['b', 'b', 'x']);
  assert.deepEqual(['a', 'b'].map(modelFor([])), ['a', 'b']);
});

test('what cannot be meant is told', () => {
  assert.equal(swapFault(swaps('a', 'x=b'), names), null);
  for (const text of ['', '=', 'a=', '=a'])
    assert.equal(swapFault(swaps(text), names), '--what-if wants a model, or FROM=TO with two of them.');
  assert.equal(swapFault(swaps('a=b=c'), names), 'The prices have no model "b=c". They have: a, b, c.');
  assert.equal(swapFault(swaps('x'), names), 'The prices have no model "x". They have: a, b, c.');
  assert.equal(swapFault(swaps('a', 'b'), names), '--what-if says twice what every model would be.');
  assert.equal(swapFault(swaps('x=a', 'x=b'), names), '--what-if says twice what x would be.');
});

test('swaps have one name, in whatever order they stand', () => {
  assert.equal(pricesName('book@1', []), 'book@1');
  assert.equal(pricesName('book@1', swaps('c', 'a=b')), 'book@1 --what-if a=b --what-if c');
  assert.equal(pricesName('book@1', swaps('a=b', 'c')), pricesName('book@1', swaps('c', 'a=b')));
});

test('a model that neither prices nor prompts know is a stranger', () => {
  assert.deepEqual(strangers(swaps('x=a', 'y=a', 'a=b', 'c'), names, [{ model: 'y' }]), ['x']);
});

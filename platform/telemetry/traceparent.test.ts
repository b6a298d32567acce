import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { contextOf, isSampled, toSpanContext, toTraceparent, traceparentOf } from './traceparent.ts';

const VALID = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const MALFORMED = [
  '',
  'rubbish',
  `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
  `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`,
  `00-${'A'.repeat(32)}-${'b'.repeat(16)}-01`,
  `${VALID}-more`,
];

test('a well-formed header is taken as it is; anything else counts for nothing', () => {
  assert.equal(traceparentOf(VALID), VALID);
  for (const header of [...MALFORMED, undefined, [VALID]]) assert.equal(traceparentOf(header), null);
  for (const text of MALFORMED) assert.equal(contextOf(text), ROOT_CONTEXT, text);
  assert.equal(contextOf(null), ROOT_CONTEXT);
});

test('it is read and written without loss', () => {
  for (const flags of ['00', '01', '03', 'ff']) {
    const text = `${VALID.slice(0, -2)}${flags}`;
    assert.equal(toTraceparent(toSpanContext(text)), text);
  }
});

test('recorded is what has the last bit of its flags, and is well-formed', () => {
  const withFlags = (flags: string) => isSampled(`${VALID.slice(0, -2)}${flags}`);
  assert.deepEqual(['00', '01', '02', '03', 'fe', 'ff'].map(withFlags), [false, true, false, true, false, true]);
  for (const text of [null, ...MALFORMED]) assert.equal(isSampled(text), false);
});

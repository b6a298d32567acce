import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateContentResponse } from '@google/genai';
import { addChunk, newReading } from './read-stream.ts';

const chunk = (text: string) => ({ candidates: [{ content: { parts: [{ text }] } }] }) as GenerateContentResponse;

test('an answer without end is given up once it is larger than any model writes', () => {
  const reading = newReading(false);
  const piece = '語'.repeat(1_000_000);
  const tooLarge = Array.from({ length: 3 }, () => addChunk(reading, chunk(piece)).tooLarge);
  assert.deepEqual(tooLarge, [false, false, true]);
});

test('thoughts are no part of an answer', () => {
  const reading = newReading(false);
  const thought = { candidates: [{ content: { parts: [{ text: 'hm', thought: true }, { text: 'yes' }] } }] };
  assert.equal(addChunk(reading, thought as GenerateContentResponse).text, 'yes');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '@google/genai';
import { classifyError } from './classify-error.ts';

const context = {
  signal: new AbortController().signal,
  started: false,
  rawUsage: null,
  emulated: false,
  secret: 'our-own-key',
  now: new Date(),
};
const apiError = (status: number, message: string) =>
  new ApiError({ status, message: JSON.stringify({ error: { code: status, message } }) });

test('an error that repeats the API key is stored without it', () => {
  const other = `AIza${'x'.repeat(35)}`;
  const outcome = classifyError(apiError(400, `bad request for key=our-own-key and ${other}.`), context);
  assert.equal('message' in outcome && outcome.message, 'the provider answered 400: bad request for key=… and ….');
});

test('a page of HTML from a proxy is not told to the user', () => {
  const outcome = classifyError(apiError(503, '<html>internal host 10.0.0.7</html>'), context);
  assert.equal('message' in outcome && outcome.message, 'the provider answered 503');
});

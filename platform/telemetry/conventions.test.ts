import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { attr, own, value } from './conventions.ts';

const published = Object.entries(conventions);
const values = (prefix: RegExp) =>
  new Set<unknown>(published.filter(([name]) => prefix.test(name)).map(([, text]) => text));

describe('the names of spans’ attributes', () => {
  test('are those that the conventions publish', () => {
    const names = values(/^ATTR_/);
    assert.ok(names.size > 500);
    assert.deepEqual(
      Object.values(attr).filter((name) => !names.has(name)),
      [],
    );
  });

  test('have values that the conventions publish; Redis is no messaging system of theirs, and may be named', () => {
    const known = values(/_VALUE_/);
    assert.deepEqual(
      Object.values(value).filter((text) => !known.has(text)),
      [],
    );
  });

  test('of our own take none of theirs', () => {
    const names = values(/^ATTR_/);
    assert.deepEqual(
      Object.values(own).filter((name) => names.has(name)),
      [],
    );
  });
});

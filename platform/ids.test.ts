import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { deriveEventId, deriveSubmissionId, isUuid, newId } from './ids.ts';

describe('a new id', () => {
  test('is a UUIDv7 of now, and no two are the same', () => {
    const before = Date.now();
    const ids = Array.from({ length: 10_000 }, newId);
    const after = Date.now();
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) {
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const time = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
      assert.ok(time >= before && time <= after);
    }
  });
});

describe('a derived id', () => {
  const promptId = '019aaf00-1234-7000-8000-000000000000';

  test('is the same for the same, another for another, a UUID, and beside its prompt', () => {
    const key = fc.string({ minLength: 1, size: 'max', maxLength: 80 });
    fc.assert(
      fc.property(key, key, (one, other) => {
        const id = deriveEventId(promptId, one);
        assert.equal(id, deriveEventId(promptId, one));
        assert.ok(isUuid(id));
        if (!isUuid(one)) assert.equal(id.slice(0, 13), promptId.slice(0, 13));
        assert.equal(id === deriveEventId(promptId, other), one === other);
      }),
    );
  });

  test('of another prompt is another one; a key that is an id stays as it is', () => {
    assert.notEqual(
      deriveEventId(promptId, 'terminal/0'),
      deriveEventId(promptId.replace('1234', '1235'), 'terminal/0'),
    );
    assert.equal(deriveEventId(promptId, promptId), promptId);
  });

  test('of a submission is of tenant, user, route and key together, however they are cut', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (user, key) => {
        const id = deriveSubmissionId('t', user, '/ask', key);
        assert.ok(isUuid(id));
        assert.equal(id, deriveSubmissionId('t', user, '/ask', key));
        assert.notEqual(id, deriveSubmissionId('t', `${user}x`, '/ask', key));
        assert.notEqual(
          deriveSubmissionId('t', `${user}x`, '/ask', key),
          deriveSubmissionId('t', user, '/ask', `x${key}`),
        );
      }),
    );
  });
});

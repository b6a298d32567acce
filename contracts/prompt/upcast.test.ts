/** What is stored is never rewritten: every version of every type that was ever written is read as the present shape. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import { type EventType, eventSchemas, eventTypes, schemaVersions } from './events.ts';
import { createUpcast, UnknownEventError, upcast, upcasters } from './upcast.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const fixture = (type: EventType, version: number) =>
  JSON.parse(readFileSync(join(FIXTURES, `${type}.v${version}.json`), 'utf8')) as Record<string, unknown>;
const history = eventTypes.flatMap((type) =>
  Array.from({ length: schemaVersions[type] }, (_, i) => ({ type, version: i + 1 })),
);
const ajv = new Ajv({ allErrors: true });
(formats as unknown as typeof formats.default)(ajv);

describe('every stored version', () => {
  test('has a fixture, and no fixture is of a version that there never was', () => {
    assert.deepEqual(
      readdirSync(FIXTURES).sort(),
      history.map(({ type, version }) => `${type}.v${version}.json`).sort(),
    );
  });

  for (const { type, version } of history) {
    test(`${type} v${version} is read as the present shape, no field more or less`, () => {
      const stored = fixture(type, version);
      const before = structuredClone(stored);
      const lifted = upcast(type, version, stored);
      const { $id: _, ...schema } = { $id: undefined, ...eventSchemas[type] };
      const fits = ajv.compile(schema);
      assert.ok(fits(lifted), `${ajv.errorsText(fits.errors)}: a change of shape needs a new schema version`);
      assert.deepEqual(Object.keys(lifted).sort(), Object.keys(eventSchemas[type].properties).sort());
      assert.deepEqual(stored, before, 'what was read is not changed');
    });
  }

  test('of the present is not touched', () => {
    for (const type of eventTypes) {
      const stored = fixture(type, schemaVersions[type]);
      assert.equal(upcast(type, schemaVersions[type], stored), stored);
    }
  });
});

describe('upcasting', () => {
  const versions = { Moved: 3, Stopped: 1 };
  const steps = {
    Moved: {
      1: ({ to, ...rest }: Record<string, unknown>) => ({ ...rest, target: to }),
      2: (data: Record<string, unknown>) => ({ ...data, by: data['by'] ?? null }),
    },
  };
  const lift = createUpcast(versions, steps);

  test('goes step by step from the version that was written', () => {
    assert.deepEqual(lift('Moved', 1, { to: 'a' }), { target: 'a', by: null });
    assert.deepEqual(lift('Moved', 2, { target: 'a', by: 'x' }), { target: 'a', by: 'x' });
    assert.deepEqual(lift('Moved', 3, { anything: 1 }), { anything: 1 });
  });

  for (const [type, version, said] of [
    ['Vanished', 1, 'unknown event type Vanished'],
    ['toString', 1, 'unknown event type toString'],
    ['Stopped', 2, 'Stopped has schema version 2, this build knows 1'],
    ['Moved', 0, 'Moved has schema version 0, this build knows 3'],
    ['Moved', -1, 'Moved has schema version -1, this build knows 3'],
  ] as const) {
    test(`of ${type} version ${version} says that it is not known`, () => {
      assert.throws(() => lift(type, version, {}), new UnknownEventError(said));
    });
  }

  for (const [what, wrong] of [
    ['a step missing', { Moved: { 1: steps.Moved[1] } }],
    ['no steps at all', {}],
    ['a step beyond the present', { ...steps, Stopped: { 1: steps.Moved[1] } }],
    ['a type that there is not', { ...steps, Vanished: { 1: steps.Moved[1] } }],
  ] as const) {
    test(`with ${what} is refused when the build starts`, () => {
      assert.throws(
        () => createUpcast(versions, wrong),
        /has upcasters from versions \[.*\], it needs them from \[.*\]/,
      );
    });
  }

  test('of this build knows every type', () => {
    assert.deepEqual(Object.keys(schemaVersions).sort(), [...eventTypes].sort());
    assert.doesNotThrow(() => createUpcast(schemaVersions, upcasters));
  });
});

/** Validation without coercion of bodies, with all faults listed. */

import type { Static, TSchema } from '@sinclair/typebox';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify';
import { isDateTime, isUuidText } from './formats.ts';

/** More than a person mends at once; the rest comes with the next try. */
const MOST_FAULTS = 50;

const options = { allErrors: true, removeAdditional: false, useDefaults: false, strict: false, $data: false } as const;
const strict = new Ajv({ ...options, coerceTypes: false });
// A query string or path knows no types but text: there `"5"` is the number 5.
const textual = new Ajv({ ...options, coerceTypes: true });
for (const ajv of [strict, textual]) {
  (addFormats as unknown as (ajv: Ajv) => void)(ajv);
  ajv.addFormat('uuid', isUuidText).addFormat('date-time', isDateTime);
}

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  if (httpPart === 'body') return strict.compile(withoutId(schema)) as ValidateFunction;
  return numbersInDigits(schema, textual.compile(withoutId(schema)) as ValidateFunction);
};

const DIGITS = /^-?\d+(\.\d+)?$/;

/** Ajv takes `0x10`, `1e1` and ` 5` for numbers too. */
function numbersInDigits(schema: TSchema, validate: ValidateFunction): ValidateFunction {
  const types = Object.entries((schema.properties ?? {}) as Record<string, TSchema>).flatMap(([name, { type }]) =>
    type === 'integer' || type === 'number' ? [{ name, type: type as string }] : [],
  );
  const checked = (data: Record<string, unknown>): boolean => {
    const faults = types
      .filter(({ name }) => typeof data[name] === 'string' && !DIGITS.test(data[name]))
      .map(({ name, type }) => ({
        keyword: 'type',
        instancePath: `/${name}`,
        schemaPath: `#/properties/${name}/type`,
        params: { type },
        message: `must be ${type}`,
      }));
    const valid = validate(data) === true;
    checked.errors = [...faults, ...(valid ? [] : (validate.errors ?? []))];
    return checked.errors.length === 0;
  };
  checked.errors = [] as ErrorObject[];
  return checked as unknown as ValidateFunction;
}

/** A type guard for JSON that comes another way than in a body. TypeBox's own check knows no formats. */
export function validator<T extends TSchema>(schema: T): (value: unknown) => value is Static<T> {
  const validate = strict.compile(withoutId(schema));
  return (value): value is Static<T> => validate(value) === true;
}

/** `$id` names a schema for OpenAPI; ajv would take a second use of it for a clash. */
function withoutId<T>(schema: T): T {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(withoutId) as T;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => key !== '$id')
      .map(([key, value]) => [key, withoutId(value)]),
  ) as T;
}

type Fault = { pointer: string; message: string };

export function pointedFaults(validation: FastifySchemaValidationError[], context: string | undefined): Fault[] {
  const prefix = context === 'querystring' ? '?' : '';
  const seen = new Map<string, Fault>();
  for (const fault of validation as unknown as ErrorObject[]) {
    // The branches of a union each say what they are not; the union's own line says it once.
    if (fault.keyword === 'const' && fault.schemaPath.includes('/anyOf/')) continue;
    // What is wrong with a name is said by a line of its own.
    if (fault.keyword === 'propertyNames') continue;
    const pointed = toFault(fault, prefix);
    seen.set(`${pointed.pointer} ${pointed.message}`, pointed);
  }
  return [...seen.values()].slice(0, MOST_FAULTS);
}

function toFault(fault: ErrorObject, prefix: string): Fault {
  const { missingProperty, additionalProperty, limit } = fault.params as Record<string, string | number | undefined>;
  const property = missingProperty ?? additionalProperty ?? fault.propertyName;
  const path = property === undefined ? fault.instancePath : `${fault.instancePath}/${escapePointer(String(property))}`;
  const pointer = prefix ? prefix + path.slice(1) : path;
  if (fault.propertyName !== undefined) return { pointer, message: `its name ${fault.message}` };
  switch (fault.keyword) {
    case 'required':
      return { pointer, message: 'is required' };
    case 'additionalProperties':
      return { pointer, message: 'is not a known field' };
    case 'anyOf': {
      const values = alternatives(fault.parentSchema ?? fault.schema);
      return { pointer, message: values ? `must be one of ${values}` : 'has none of the allowed forms' };
    }
    case 'maxLength':
      return { pointer, message: `must have at most ${limit} characters` };
    case 'minLength':
      return { pointer, message: limit === 1 ? 'must not be empty' : `must have at least ${limit} characters` };
    default:
      return { pointer, message: fault.message ?? 'is not valid' };
  }
}

function alternatives(schema: unknown): string | null {
  const list = Array.isArray(schema) ? schema : (schema as { anyOf?: unknown[] } | undefined)?.anyOf;
  const values = (list ?? []).map((one) => (one as { const?: unknown }).const);
  return values.length > 0 && values.every((value) => value !== undefined) ? values.join(', ') : null;
}

const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

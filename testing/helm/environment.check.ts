/** Variables that the chart sets and variables that the services read, both ways. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loadConfig } from '../../platform/config/load.ts';
import { type Service, variables } from '../../platform/config/variables.ts';
import { deployed, ROOT, readersOf, readSchema, type Schema } from './chart-values.ts';
import { type Container, manifestsOf, podsOf, render, VALUES, type ValuesName, valuesFile } from './helm.ts';
import { yaml } from './tools.ts';

/** Read by a service and set by nobody, with the reason. */
const NOT_SET: Partial<Record<Service | 'all', string[]>> = {
  // Names in logs and metrics are the services' own.
  all: ['APP_ID'],
  // A tool: it serves nothing, and has no use for Redis.
  migrate: ['REDIS_URI', 'ADMIN_PORT', 'SHUTDOWN_GRACE_SECONDS'],
};
/** What the Secrets hold. */
const SECRETS: Record<string, string> = {
  POSTGRES_URI: 'postgres://u:p@postgres/prompts',
  POSTGRES_READ_URI: 'postgres://u:p@replica/prompts',
  POSTGRES_PASSWORD: 'p',
  REDIS_URI: 'redis+sentinel://:p@a,b,c/mymaster',
  GEMINI_API_KEY: 'k',
};

type Values = { config?: Record<string, string | number>; extraEnv?: { name: string }[] };
const valuesOf = (name: ValuesName): Values =>
  yaml().parse(readFileSync(join(ROOT, valuesFile(name)), 'utf8')) as Values;

const containersOf = (name: ValuesName): [Service, Container][] =>
  podsOf(manifestsOf(name))
    .filter(({ component }) => component !== 'gateway')
    .map(({ component, container }) => [component as Service, container]);

for (const name of VALUES) {
  const values = valuesOf(name);
  const extra = (values.extraEnv ?? []).map((variable) => variable.name);

  describe(`with ${name} values`, () => {
    for (const [service, container] of containersOf(name)) {
      const own = container.env.filter((variable) => !extra.includes(variable.name));

      test(`${service} is given variables that it reads, each once`, () => {
        const names = own.map((variable) => variable.name);
        assert.deepEqual(names, [...new Set(names)]);
        const read = names.filter((one) => one in variables);
        assert.deepEqual(names, read);
        const unread = read.filter((one) => !readersOf(variables[one as keyof typeof variables]).includes(service));
        assert.deepEqual(unread, []);
      });

      test(`${service} finds its configuration valid, as it was given`, () => {
        const env = own.map(({ name: variable, value }) => [variable, value ?? SECRETS[variable]] as const);
        assert.ok(env.every(([, value]) => value !== undefined));
        const config: Record<string, unknown> = loadConfig(service, Object.fromEntries(env));
        for (const [variable, value] of Object.entries(values.config ?? {})) {
          if (!own.some((one) => one.name === variable)) continue;
          assert.equal(String(config[variable]), String(value), variable);
        }
      });

      test(`${service} is given secrets by reference`, () => {
        for (const { name: variable, value } of own) {
          const { secret } = variables[variable as keyof typeof variables] as { secret?: boolean };
          // Without a password the address of Redis is none; the schema refuses one with it.
          if (secret && variable !== 'REDIS_URI') assert.equal(value, undefined, variable);
        }
      });
    }
  });
}

/** A value of a variable under `config`: the least number, the first word, or something of the right form. */
function sampleOf(name: string, { enum: words, minimum }: Schema): unknown {
  const { parse } = variables[name as keyof typeof variables];
  const candidates = [words?.[0], minimum, 'http://collector:4318', 'collector:4318', 'true'];
  const sample = candidates.find((candidate) => {
    try {
      return candidate !== undefined && parse(String(candidate)) !== undefined;
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
  });
  assert.notEqual(sample, undefined, `${name}: no sample is of its form`);
  return sample;
}

describe('every variable', () => {
  const config = Object.entries(readSchema().properties!['config']!.properties!).map(
    ([name, schema]) => [name, sampleOf(name, schema)] as const,
  );
  const all = render(valuesFile('everything'), JSON.stringify({ config: Object.fromEntries(config) }));
  const pods = podsOf([...manifestsOf('sentinel'), ...all]);

  for (const service of deployed) {
    test(`that ${service} reads can be set`, () => {
      const set = new Set(
        pods
          .filter(({ component }) => component === service)
          .flatMap(({ container }) => container.env.map((variable) => variable.name)),
      );
      const read = Object.entries(variables)
        .filter(([, variable]) => readersOf(variable).includes(service))
        .map(([variable]) => variable);
      assert.ok(read.length > 10);
      const missing = read.filter((variable) => !set.has(variable)).sort();
      assert.deepEqual(missing, [...(NOT_SET.all ?? []), ...(NOT_SET[service] ?? [])].sort());
    });
  }
});

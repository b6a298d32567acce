/** The only reader of the environment: parses, checks all at once, and hands out a frozen object. */
import { needsPostgres, needsRedis, type Service, type Variable, variables } from './variables.ts';

type Values = { [N in keyof typeof variables]: (typeof variables)[N] extends Variable<infer T> ? T : never };

export type Config = Readonly<
  Omit<
    Values,
    'POSTGRES_URI' | 'POSTGRES_USER' | 'POSTGRES_PASSWORD' | 'POSTGRES_HOST' | 'POSTGRES_NAME' | 'REDIS_URI'
  > & {
    service: Service;
    /** Null only for `embedded` and `cli`, which have or find their own. */
    POSTGRES_URI: string | null;
    REDIS_URI: string | null;
    /** A collector for traces is named somewhere, and nothing turns them off. */
    tracing: boolean;
  }
>;

/** Names every variable that is wrong, with what is expected; values of secrets are not shown. */
export class ConfigError extends Error {
  readonly code = 'invalid_configuration';
  readonly problems: string[];
  constructor(problems: string[]) {
    super(`The configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

export type Environment = Record<string, string | undefined>;

/**
 * What a service makes of its configuration alone, before it connects to anything: each throws `ConfigError` with all that is
 * wrong with its own. A variable that is wrong by itself is null there.
 */
export type Parts = Record<string, (config: Config) => unknown>;
export type Made<P extends Parts> = { [N in keyof P]: ReturnType<P[N]> };

export const loadConfig = (service: Service, env: Environment = process.env): Config =>
  loadParts(service, {}, env).config;

/** Throws `ConfigError` with the problems of variables and parts together. */
export function loadParts<P extends Parts>(
  service: Service,
  parts: P,
  env: Environment = process.env,
): { config: Config; made: Made<P> } {
  const { config, problems } = readConfig(service, env);
  const made = Object.entries(parts).map(([name, make]) => [name, gather(problems, () => make(config))]);
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, made: Object.fromEntries(made) as Made<P> };
}

/** What `make` returns; undefined when it throws a `ConfigError`, whose problems are added to the others. */
export function gather<T>(problems: string[], make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function readConfig(service: Service, env: Environment): { config: Config; problems: string[] } {
  const problems: string[] = [];
  const values = Object.fromEntries(
    Object.entries(variables).map(([name, variable]) => [
      name,
      readVariable(name, variable as Variable<unknown>, service, env, problems),
    ]),
  ) as Values;
  const POSTGRES_URI = values.POSTGRES_URI ?? uriFromParts(values, problems);
  if (!POSTGRES_URI && needsPostgres(service) && !isTold(problems, 'POSTGRES_URI')) {
    problems.push(
      'POSTGRES_URI: is not set; expected postgres://user:password@host:port/name, or POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_HOST, POSTGRES_PORT and POSTGRES_NAME',
    );
  }
  if (!values.REDIS_URI && needsRedis(service) && !isTold(problems, 'REDIS_URI'))
    problems.push('REDIS_URI: is not set; expected host:port or redis://…');
  const { SHUTDOWN_DELAY_SECONDS: delay, SHUTDOWN_GRACE_SECONDS: grace } = values;
  if (delay >= grace && !isTold(problems, 'SHUTDOWN_GRACE_SECONDS'))
    problems.push(`SHUTDOWN_DELAY_SECONDS: "${delay}" must be less than SHUTDOWN_GRACE_SECONDS, which is ${grace}`);
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_HOST, POSTGRES_NAME, ...rest } = values;
  return { config: Object.freeze({ ...rest, POSTGRES_URI, service, tracing: isTracing(rest) }), problems };
}

const isTracing = (values: Omit<Values, `POSTGRES_${'USER' | 'PASSWORD' | 'HOST' | 'NAME'}`>): boolean => {
  const { JAEGER_URI, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = values;
  const isOff = values.OTEL_TRACES_EXPORTER === 'none' || /^true$/i.test(values.OTEL_SDK_DISABLED);
  return !isOff && (JAEGER_URI ?? OTEL_EXPORTER_OTLP_ENDPOINT ?? OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) !== null;
};

/** What is wrong is not missing too. */
const isTold = (problems: string[], name: string): boolean =>
  problems.some((problem) => problem.startsWith(`${name}: `));

function readVariable(
  name: string,
  variable: Variable<unknown>,
  service: Service,
  env: Environment,
  problems: string[],
): unknown {
  const given = env[name];
  if (given === undefined || given === '') {
    return typeof variable.default === 'function' ? variable.default(service) : variable.default;
  }
  try {
    return variable.parse(given);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    problems.push(`${name}: ${variable.secret ? 'its value' : JSON.stringify(given)} ${error.message}`);
    return null;
  }
}

function uriFromParts(values: Values, problems: string[]): string | null {
  const { POSTGRES_USER: user, POSTGRES_PASSWORD: password, POSTGRES_HOST: host, POSTGRES_NAME: name } = values;
  const parts = { POSTGRES_USER: user, POSTGRES_HOST: host, POSTGRES_NAME: name };
  if (Object.values(parts).every((part) => part === null)) return null;
  for (const [variable, part] of Object.entries(parts)) {
    if (part === null && !isTold(problems, variable))
      problems.push(`${variable}: is not set, while others of POSTGRES_* are`);
  }
  const credential = `${encodeURIComponent(user ?? '')}${password === null ? '' : `:${encodeURIComponent(password)}`}`;
  return `postgres://${credential}@${host}:${values.POSTGRES_PORT}/${encodeURI(name ?? '')}`;
}

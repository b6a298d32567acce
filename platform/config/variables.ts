/** Every environment variable: what it is, what it may be, who reads it. The reference in doc/ is made from this list. */

import { parseRedisUri } from '../redis/uri.ts';

export const services = ['command-api', 'query-api', 'worker', 'projector', 'migrate', 'cli', 'embedded'] as const;
export type Service = (typeof services)[number];

/**
 * Returns the value, or throws a `TypeError` whose message says what is expected. `schema` says the same in JSON Schema, for
 * whoever checks values before a process reads them.
 */
export type Parse<T> = ((text: string) => T) & { schema?: object };

export type Variable<T> = {
  parse: Parse<T>;
  /** What counts when it is not set; per service where they differ. */
  default: T | ((service: Service) => T);
  /** The default in words, where a value says too little. */
  defaultText?: string;
  /** Never printed. */
  secret?: boolean;
  who: string;
  about: string;
};

const described = <T>(schema: object, parse: (text: string) => T): Parse<T> => Object.assign(parse, { schema });

export const text: Parse<string> = (value) => value;

export const integer = (min: number, max: number): Parse<number> =>
  described({ type: 'integer', minimum: min, maximum: max }, (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new TypeError(`must be a whole number from ${min} to ${max}`);
    return number;
  });

export const decimal = (min: number, max: number): Parse<number> =>
  described({ type: 'number', minimum: min, maximum: max }, (value) => {
    const number = Number(value);
    if (!/^\d+(\.\d+)?$/.test(value) || number < min || number > max)
      throw new TypeError(`must be a number from ${min} to ${max}`);
    return number;
  });

export const oneOf = <const T extends readonly string[]>(...values: T): Parse<T[number]> =>
  described({ enum: values }, (value) => {
    if (!values.includes(value)) throw new TypeError(`must be one of ${values.join(', ')}`);
    return value as T[number];
  });

export const matching = (pattern: RegExp, expected: string): Parse<string> =>
  described({ type: 'string', pattern: pattern.source }, (value) => {
    if (!pattern.test(value)) throw new TypeError(`must be ${expected}`);
    return value;
  });

const list: Parse<string[]> = (value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
const url = matching(/^https?:\/\/[^\s/]+/, 'a URL like https://host/path');
const otlpProtocol = oneOf('http/json', 'http/protobuf', 'grpc');
type OtlpProtocol = ReturnType<typeof otlpProtocol>;
const hostPort = matching(/^[^\s:/]+:\d{1,5}$/, 'host:port');
const stream = matching(/^\S{1,200}$/, 'a stream name without spaces');

const redisUri: Parse<string> = (value) => {
  parseRedisUri(value);
  return value;
};
const postgresUri: Parse<string> = (value) => {
  // Without a host it is a socket's folder, named in the query.
  const parsable = URL.canParse(value) || URL.canParse(value.replace('@/', '@localhost/'));
  if (!/^postgres(ql)?:\/\/\S+$/.test(value) || !parsable)
    throw new TypeError('must be postgres://user:password@host:port/name, odd characters as %XX');
  return value;
};

const define = <T>(variable: Variable<T>): Variable<T> => variable;
const isApi = (service: Service) => service === 'command-api' || service === 'query-api';
const adminPorts: Partial<Record<Service, number>> = {
  'command-api': 9464,
  'query-api': 9465,
  worker: 9466,
  projector: 9467,
};

const all = 'all';
const apis = 'command-api, query-api, embedded';
/** Tools make no traces. */
const traced = 'command-api, query-api, worker, projector, embedded';

export const variables = {
  PORT: define({ parse: integer(0, 65535), default: 8080, who: apis, about: 'Port of the API; 0 takes a free one.' }),
  HOST: define({
    parse: text,
    default: (service) => (service === 'embedded' ? '127.0.0.1' : '0.0.0.0'),
    defaultText: '127.0.0.1 embedded, else 0.0.0.0',
    who: all,
    about: 'Address to listen on.',
  }),
  DATA_DIR: define({
    parse: text,
    default: '.data',
    who: 'embedded, cli',
    about: 'Database, Redis files and `api-key` of the embedded stack.',
  }),
  APP_ID: define({
    parse: matching(/^[\w.-]{1,63}$/, 'letters, digits, dot, dash, underscore'),
    default: (service) => service as string,
    defaultText: 'the service’s name',
    who: all,
    about: 'Name in logs, traces and metrics.',
  }),
  POSTGRES_URI: define<string | null>({
    parse: postgresUri,
    default: null,
    secret: true,
    who: all,
    about: 'The database. Or the five POSTGRES_* below.',
  }),
  POSTGRES_USER: define<string | null>({
    parse: text,
    default: null,
    who: all,
    about: 'Part of the database’s address.',
  }),
  POSTGRES_PASSWORD: define<string | null>({
    parse: text,
    default: null,
    secret: true,
    who: all,
    about: 'Part of the database’s address.',
  }),
  POSTGRES_HOST: define<string | null>({
    parse: text,
    default: null,
    who: all,
    about: 'Part of the database’s address.',
  }),
  POSTGRES_PORT: define({
    parse: integer(1, 65535),
    default: 5432,
    who: all,
    about: 'Part of the database’s address.',
  }),
  POSTGRES_NAME: define<string | null>({
    // An address cannot say them: its reader leaves %3F and %23 in the path as they are.
    parse: matching(/^[^?#]+$/, 'a name without ? and #'),
    default: null,
    who: all,
    about: 'Part of the database’s address.',
  }),
  POSTGRES_READ_URI: define<string | null>({
    parse: postgresUri,
    default: null,
    secret: true,
    who: 'query-api',
    about: 'A replica for reads; while it is away the primary answers them.',
  }),
  MIGRATIONS_DIR: define({ parse: text, default: 'migrations', who: 'migrate', about: 'Folder of the migrations.' }),
  REDIS_URI: define<string | null>({
    parse: redisUri,
    default: null,
    secret: true,
    who: all,
    about:
      '`host:port`, `redis://…`, `redis+sentinel://user:password@h:p,h:p/master/db?sentinelPassword=…`, `redis+cluster://user:password@h:p,h:p`; `rediss…` for TLS.',
  }),
  REDIS_PUB_STREAM_ID: define({
    parse: stream,
    default: (service) => (service === 'worker' ? 'results' : 'tasks'),
    defaultText: 'tasks in command-api, results in worker',
    who: 'command-api, worker',
    about: 'Stream that the service publishes to.',
  }),
  REDIS_SUB_STREAM_ID: define({
    parse: stream,
    default: 'tasks',
    who: 'worker',
    about: 'Stream that the worker reads.',
  }),
  REDIS_RES_STREAM_ID: define({
    parse: stream,
    default: 'results',
    who: 'projector',
    about: 'Stream that wakes the projector.',
  }),
  RESULTS_MAX_LENGTH: define({
    parse: integer(1, 10_000_000),
    default: 10_000,
    who: 'worker, embedded',
    about: 'Entries kept in the results stream, about.',
  }),
  NUMBER_OF_WORKERS: define({
    parse: integer(1, 10_000),
    default: 5,
    who: 'worker, embedded',
    about: 'Prompts in flight in one process.',
  }),
  GEMINI_API_KEY: define<string | null>({
    parse: text,
    default: null,
    secret: true,
    who: 'worker, embedded',
    about: 'Without a key the embedded stack uses the emulator.',
  }),
  GEMINI_BASE_URL: define<string | null>({
    parse: url,
    default: null,
    who: 'worker, embedded',
    about: 'Another address of the Gemini API.',
  }),
  GEMINI_TIER: define({
    parse: oneOf('none', 'free'),
    default: 'none' as 'none' | 'free',
    who: 'worker, embedded',
    about:
      'Presets the provider’s limits; without effect so far: answers with 429 pace the calls. Cost is always the paid list price.',
  }),
  MODELS: define<string[]>({
    parse: list,
    default: [],
    defaultText: 'every Gemini text model of the price book',
    who: apis,
    about: 'Models served, separated by commas.',
  }),
  DEFAULT_MODEL: define<string | null>({
    parse: text,
    default: null,
    defaultText: 'a current Gemini Flash',
    who: 'command-api, query-api, embedded',
    about: 'Model of an ask that names none.',
  }),
  PRICES_FILE: define<string | null>({
    parse: text,
    default: null,
    who: 'command-api, query-api, worker, cli, embedded',
    about:
      'JSON file of prices over those of the price package ([how to](../how-to/set-prices.md)); the same for all services.',
  }),
  CALL_TIMEOUT_SECONDS: define({
    parse: integer(1, 86_400),
    default: 300,
    who: 'command-api, worker, embedded',
    about: 'An attempt’s deadline.',
  }),
  SPOOL_DIR: define<string | null>({
    parse: text,
    default: null,
    defaultText: 'embedded: `spool` in DATA_DIR; worker: none',
    who: 'worker, embedded',
    about:
      'Folder, on a volume that outlives the process, for answers that arrive while Postgres is away. Without one they are held in memory alone.',
  }),
  ARCHIVE_DIR: define<string | null>({
    parse: text,
    default: null,
    defaultText: 'embedded: `archive` in DATA_DIR; else none',
    who: 'projector, cli, embedded',
    about:
      'Folder of the archive ([how to](../how-to/archive.md)): where the beginning of the log is moved to, and read from by a rebuild.',
  }),
  LEASE_SECONDS: define({
    parse: decimal(0.2, 3_600),
    default: 15,
    who: 'worker, embedded',
    about: 'A worker silent for so long has lost its attempts.',
  }),
  MAX_ATTEMPTS: define({
    parse: integer(1, 100),
    default: 4,
    who: 'command-api, worker, embedded',
    about: 'Calls for one prompt before it fails.',
  }),
  RETRY_BASE_SECONDS: define({
    parse: decimal(0, 3_600),
    default: 1,
    who: 'command-api, worker, embedded',
    about: 'First pause between attempts; it doubles.',
  }),
  RETRY_CAP_SECONDS: define({
    parse: decimal(0, 86_400),
    default: 30,
    who: 'command-api, worker, embedded',
    about: 'Longest pause between attempts, unless the provider asks for more.',
  }),
  APPEND_QUEUE_LIMIT: define({
    parse: integer(1, 1_000_000),
    default: 5_000,
    who: 'command-api, worker, embedded',
    about: 'Appends that may wait; above it 503.',
  }),
  CACHE_TTL_MINUTES: define({
    parse: decimal(0, 10_080),
    default: 5,
    who: 'query-api, embedded',
    about: 'Redis cache of finished prompts and aggregates; 0 turns it off.',
  }),
  SHUTDOWN_GRACE_SECONDS: define({
    parse: integer(1, 3_600),
    default: 20,
    who: all,
    about: 'Time to finish after SIGTERM.',
  }),
  SHUTDOWN_DELAY_SECONDS: define({
    parse: decimal(0, 60),
    default: 0,
    who: 'command-api, query-api',
    about:
      'Part of SHUTDOWN_GRACE_SECONDS: how long an API serves on after SIGTERM, no longer ready, until nobody sends it requests any more. 0 where it is taken out of service before.',
  }),
  ADMIN_PORT: define({
    parse: integer(0, 65535),
    default: (service) => adminPorts[service] ?? 0,
    defaultText: '9464 command-api, 9465 query-api, 9466 worker, 9467 projector; embedded a free one',
    who: all,
    about: '`/livez`, `/readyz`, `/metrics`.',
  }),
  LOG_LEVEL: define({
    parse: oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    default: 'info' as const as 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent',
    who: all,
    about: 'Least level that is logged.',
  }),
  JAEGER_URI: define<string | null>({
    parse: hostPort,
    default: null,
    who: traced,
    about: '`host:port` of an OTLP/HTTP collector; the standard `OTEL_EXPORTER_OTLP_*ENDPOINT` win.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: define<string | null>({
    parse: url,
    default: null,
    who: traced,
    about: 'Standard; read by the OpenTelemetry SDK.',
  }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: define<string | null>({
    parse: url,
    default: null,
    who: traced,
    about: 'Standard; read by the OpenTelemetry SDK.',
  }),
  OTEL_EXPORTER_OTLP_PROTOCOL: define<OtlpProtocol | null>({
    parse: otlpProtocol,
    default: null,
    defaultText: 'http/json',
    who: traced,
    about:
      'Standard: `http/json`, `http/protobuf` or `grpc`, as the collector of `OTEL_EXPORTER_OTLP_*ENDPOINT` speaks it (most take both of HTTP on 4318, and gRPC on 4317). `JAEGER_URI` is sent `http/json`.',
  }),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: define<OtlpProtocol | null>({
    parse: otlpProtocol,
    default: null,
    defaultText: 'as OTEL_EXPORTER_OTLP_PROTOCOL',
    who: traced,
    about: 'Standard: the same of traces alone; it wins.',
  }),
  OTEL_TRACES_SAMPLER: define({
    parse: oneOf(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    default: 'parentbased_always_on' as string,
    who: traced,
    about: 'Standard: which traces are recorded. With `parentbased_` a caller’s decision is kept.',
  }),
  OTEL_TRACES_SAMPLER_ARG: define({
    parse: decimal(0, 1),
    default: 1,
    who: traced,
    about: 'Standard: the share of traces that a sampler with `traceidratio` records.',
  }),
  OTEL_TRACES_EXPORTER: define({
    parse: oneOf('otlp', 'none'),
    default: 'otlp' as string,
    who: traced,
    about: 'Standard; `none` turns traces off.',
  }),
  OTEL_SDK_DISABLED: define({
    parse: matching(/^([Tt]rue|TRUE|[Ff]alse|FALSE)$/, 'true or false'),
    default: 'false',
    who: traced,
    about: 'Standard; `true` turns traces off.',
  }),
} as const;

/** Which of the connections a service cannot start without. */
export const needsPostgres = (service: Service): boolean => service !== 'embedded' && service !== 'cli';
export const needsRedis = (service: Service): boolean =>
  isApi(service) || service === 'worker' || service === 'projector';

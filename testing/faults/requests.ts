/** One request of a user, and everything it was told, written down. */
import { connect } from 'node:net';
import type { Random } from '../kit/random.ts';
import type { Operation } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type Request = Pick<Operation, 'user' | 'kind'> & Partial<Operation> & { path: string; body?: object };
/** How a client goes away: so long after its last byte, with so many of its body `missing`: all but white space was sent. */
export type Leaving = { missing: number; afterMs: number; how: 'closed' | 'reset' };
export type Requests = {
  operations: Operation[];
  send: (request: Request) => Promise<Operation>;
  /** Over a connection of its own, that is left before anything is heard. */
  leave: (request: Request, leaving: Leaving) => Promise<Operation>;
  /** Whom the next request of an API goes to. */
  choose: (service: Api) => { api: string; base: string };
};

export type Api = 'command-api' | 'query-api';

const CANARY = /canary-([a-z]+)-/g;
export const canariesIn = (text: string): string[] => [
  ...new Set([...text.matchAll(CANARY)].map((match) => match[1]!)),
];

const GIVE_UP_MS = 8_000;
const COMMANDS: ReadonlySet<Operation['kind']> = new Set(['ask', 'cancel', 'retry']);

const serviceOf = (kind: Operation['kind']): Api => (COMMANDS.has(kind) ? 'command-api' : 'query-api');

type Told = { id?: string; code?: string; status?: unknown; position?: number; data?: Record<string, unknown>[] };

/** Without a `gateway` (its address) any instance is asked, ready or not. */
export function createRequests(fleet: Fleet, random: Random, gateway: string | null = null): Requests {
  const operations: Operation[] = [];
  const keys = new Map(fleet.users.map((user) => [user.name, user.key]));

  const choose: Requests['choose'] = (service) => {
    if (gateway) return { api: service, base: gateway };
    const addresses = service === 'command-api' ? fleet.commandApis : fleet.queryApis;
    const chosen = random.between(0, addresses.length - 1);
    return { api: `${service}-${chosen + 1}`, base: addresses[chosen]! };
  };

  /** On record from now on, with whom it is sent to. */
  function begin({ path: _, body: __, ...known }: Request): { operation: Operation; base: string } {
    const { kind, key = null, minPosition = null } = known;
    const { api, base } = choose(serviceOf(kind));
    const operation: Operation = {
      api,
      invokedAt: Date.now(),
      completedAt: 0,
      outcome: 'unknown',
      status: null,
      retryAfter: null,
      code: null,
      promptId: null,
      bodyHash: null,
      promptHash: null,
      retry: null,
      replayed: false,
      told: null,
      position: null,
      rows: [],
      canariesOf: [],
      ...known,
      key,
      minPosition,
    };
    operations.push(operation);
    return { operation, base };
  }

  const headersOf = ({ user, body, key }: Request): Record<string, string> => ({
    authorization: `Bearer ${keys.get(user)}`,
    ...(body && { 'content-type': 'application/json' }),
    ...(key && { 'idempotency-key': key }),
  });

  async function send(request: Request): Promise<Operation> {
    const { path, body, kind } = request;
    const { operation, base } = begin(request);
    const { minPosition } = operation;
    const query = minPosition === null ? '' : `${path.includes('?') ? '&' : '?'}minPosition=${minPosition}`;
    try {
      const response = await fetch(`${base}${path}${query}`, {
        method: body ? 'POST' : 'GET',
        headers: headersOf(request),
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      const text = await response.text();
      const told = (text.startsWith('{') ? JSON.parse(text) : {}) as Told;
      operation.status = response.status;
      operation.outcome = response.ok ? 'ok' : response.status < 500 ? 'fail' : 'unknown';
      operation.retryAfter = response.headers.get('retry-after');
      operation.replayed = response.headers.get('idempotency-replayed') === 'true';
      operation.code = told.code ?? null;
      operation.told = typeof told.status === 'string' ? told.status : null;
      operation.position = response.ok ? (told.position ?? null) : null;
      if (response.ok) operation.rows = rowsOf(kind, told);
      if (kind === 'ask' && response.ok) operation.promptId = told.id ?? null;
      operation.canariesOf = canariesIn(text + [...response.headers.values()].join(' '));
    } catch (error) {
      // No answer: refused, reset, or none in time. It stays unknown, which is what the history says.
      if (!(error instanceof TypeError || (error as Error).name === 'TimeoutError' || error instanceof SyntaxError))
        throw error;
    }
    operation.completedAt = Date.now();
    return operation;
  }

  async function leave(request: Request, { missing, afterMs, how }: Leaving): Promise<Operation> {
    const { operation, base } = begin(request);
    const body = Buffer.from(JSON.stringify(request.body) + ' '.repeat(missing));
    const headers = { host: new URL(base).host, ...headersOf(request), 'content-length': String(body.length) };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const text = Buffer.concat([Buffer.from(`POST ${request.path} HTTP/1.1\r\n${head.join('')}\r\n`), body]);
    const socket = connect(Number(new URL(base).port), '127.0.0.1');
    await new Promise<void>((left) => {
      socket.on('error', () => left()); // refused or reset: it is left all the same, and nobody knows what it did
      socket.write(text.subarray(0, text.length - missing), () => setTimeout(left, afterMs));
    });
    if (how === 'reset') socket.resetAndDestroy();
    else socket.destroy();
    operation.outcome = missing > 0 ? 'fail' : 'unknown';
    operation.completedAt = Date.now();
    return operation;
  }
  return { operations, send, leave, choose };
}

function rowsOf(kind: Operation['kind'], { data = [] }: Told): Operation['rows'] {
  if (kind === 'list')
    return data.map(({ id, position, status }) => ({
      promptId: String(id),
      position: Number(position),
      status: String(status),
    }));
  if (kind === 'timeline')
    return data.map(({ subject, position, type }) => ({
      promptId: String(subject),
      position: Number(position),
      status: String(type),
    }));
  return [];
}

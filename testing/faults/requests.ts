/** One request of a user, and everything it was told, written down. */
import type { Random } from '../kit/random.ts';
import type { Operation } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type Request = Pick<Operation, 'user' | 'kind'> & Partial<Operation> & { path: string; body?: object };
export type Requests = { operations: Operation[]; send: (request: Request) => Promise<Operation> };

const CANARY = /canary-([a-z]+)-/g;
export const canariesIn = (text: string): string[] => [
  ...new Set([...text.matchAll(CANARY)].map((match) => match[1]!)),
];

const GIVE_UP_MS = 8_000;
const COMMANDS: ReadonlySet<Operation['kind']> = new Set(['ask', 'cancel', 'retry']);

type Told = { id?: string; code?: string; status?: unknown; position?: number; data?: Record<string, unknown>[] };

export function createRequests(fleet: Fleet, random: Random): Requests {
  const operations: Operation[] = [];
  const keys = new Map(fleet.users.map((user) => [user.name, user.key]));

  async function send({ path, body, ...known }: Request): Promise<Operation> {
    const { user, kind, key = null, minPosition = null } = known;
    const base = random.pick(COMMANDS.has(kind) ? fleet.commandApis : fleet.queryApis);
    const operation: Operation = {
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
    const query = minPosition === null ? '' : `${path.includes('?') ? '&' : '?'}minPosition=${minPosition}`;
    try {
      const response = await fetch(`${base}${path}${query}`, {
        method: body ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${keys.get(user)}`,
          ...(body && { 'content-type': 'application/json' }),
          ...(key && { 'idempotency-key': key }),
        },
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
  return { operations, send };
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

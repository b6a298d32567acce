/** Typed client of the HTTP API, for browsers and Node: nothing but `fetch`. */
import type { Accepted, AskBody, BulkRetryAccepted, BulkRetryBody, CostCorrected } from '../contracts/http/commands.ts';
import type { Projection, Rebuild, RebuildAccepted, RebuildCancelling } from '../contracts/http/projections.ts';
import type { LedgerPage, ParkedStream, Prompt, TimelineEvent } from '../contracts/http/queries.ts';

export type ClientOptions = {
  /** e.g. `http://127.0.0.1:8080` */
  baseUrl: string;
  apiKey: string;
};

/** An answer that is not 2xx; `problem` is its RFC 9457 body, where it had one. */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  readonly problem: unknown;
  constructor(status: number, problem: unknown) {
    const { code, detail, title } = (problem ?? {}) as { code?: string; detail?: string; title?: string };
    super(`${status} ${code ?? ''}: ${detail ?? title ?? 'no details'}`);
    this.status = status;
    this.code = code ?? 'unknown';
    this.problem = problem;
  }
}

export type PromptPage = { data: Prompt[]; hasMore: boolean; nextCursor: string | null };
export type RebuildPage = { data: Rebuild[]; hasMore: boolean; nextCursor: string | null };
export type ParkedPage = { data: ParkedStream[]; hasMore: boolean; nextCursor: string | null };
/** `version` and `prices`: where an admin asked for a version of the read model that is not served. */
export type StatsPage<Row> = {
  data: Row[];
  position: number;
  asOf: string | null;
  version?: number;
  prices?: string | null;
};
export type Query = Record<string, string | number | undefined>;

export type Client = ReturnType<typeof createClient>;

export function createClient({ baseUrl, apiKey }: ClientOptions) {
  async function call<T>(...request: Parameters<typeof text>): Promise<T> {
    const answer = await text(...request);
    return (answer === '' ? null : parse(answer)) as T;
  }

  async function text(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<string> {
    const response = await fetch(new URL(path, baseUrl), {
      method,
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new ApiError(response.status, answer === '' ? null : parse(answer));
    return answer;
  }

  return {
    /** 202: accepted, durable. The same `idempotencyKey` and body again give the same answer. */
    ask: (body: AskBody, options: { idempotencyKey?: string } = {}) =>
      call<Accepted>('POST', '/ask', body, options.idempotencyKey ? { 'idempotency-key': options.idempotencyKey } : {}),
    /** With `wait` (seconds, ≤ 60) held until the prompt has ended; with `asOf` (time or position) as it was then. */
    prompt: (id: string, query: { wait?: number; minPosition?: number; asOf?: string | number } = {}) =>
      call<Prompt>('GET', `/prompts/${encodeURIComponent(id)}${toSearch(query)}`),
    prompts: (query: Query = {}) => call<PromptPage>('GET', `/prompts${toSearch(query)}`),
    /** The prompt's timeline, as CloudEvents, in order; without data where the release that is asked does not know the event. */
    events: (id: string) => call<{ data: TimelineEvent[] }>('GET', `/prompts/${encodeURIComponent(id)}/events`),
    cancel: (id: string) => call<{ id: string }>('POST', `/prompts/${encodeURIComponent(id)}/cancel`),
    retry: (id: string) => call<{ id: string }>('POST', `/prompts/${encodeURIComponent(id)}/retry`, {}),
    /** One call, for `limit` prompts at most; with `more` in the answer there are further ones. */
    retryAll: (
      filter: BulkRetryBody['filter'],
      reason: string,
      options: Pick<BulkRetryBody, 'limit' | 'dryRun'> = {},
    ) => call<BulkRetryAccepted>('POST', '/prompts/retry', { filter, reason, ...options }),
    /** For admins: streams that a projection has set aside. */
    parked: (query: Query = {}) => call<ParkedPage>('GET', `/parked${toSearch(query)}`),
    models: () => call<{ data: { model: string; default: boolean }[] }>('GET', '/models'),
    stats: <Row>(name: 'users' | 'models' | 'usage' | 'latency', query: Query = {}) =>
      call<StatsPage<Row>>('GET', `/stats/${name}${toSearch(query)}`),
    /** The rows of `stats` as CSV (RFC 4180). */
    statsCsv: (name: 'users' | 'models' | 'usage' | 'latency', query: Query = {}) =>
      text('GET', `/stats/${name}${toSearch({ ...query, format: 'csv' })}`),
    /** One entry for each attempt, the newest first. */
    ledger: (query: Query = {}) => call<LedgerPage>('GET', `/ledger${toSearch(query)}`),
    /** Single use, 30 seconds: for the socket of a browser, which cannot send headers. */
    ticket: () => call<{ ticket: string }>('POST', '/live/tickets'),
    /** The rest is for admins. Read models: what is served, what there is beside it, and how far rebuilds are. */
    projections: () => call<{ data: Projection[] }>('GET', '/projections'),
    /** 202: a projector begins within a second or two. 409 while another one is open. */
    rebuild: (projection: string, options: { dryRun?: boolean; acceptDifferences?: boolean } = {}) =>
      call<RebuildAccepted>('POST', `/projections/${encodeURIComponent(projection)}/rebuilds`, options),
    rebuilds: (projection: string, query: { limit?: number; cursor?: string } = {}) =>
      call<RebuildPage>('GET', `/projections/${encodeURIComponent(projection)}/rebuilds${toSearch(query)}`),
    /** Whoever does it breaks off within some seconds; its `outcome` is null until then. 409 when it has ended. */
    cancelRebuild: (projection: string, id: string) =>
      call<RebuildCancelling>(
        'DELETE',
        `/projections/${encodeURIComponent(projection)}/rebuilds/${encodeURIComponent(id)}`,
      ),
    serveVersion: (projection: string, version: number) =>
      call<{ projection: string; version: number }>(
        'POST',
        `/projections/${encodeURIComponent(projection)}/versions/${version}/serve`,
      ),
    /** Of an attempt that has ended: what the provider's bill has. */
    correctCost: (id: string, attempt: number, nanoUsd: number, reason: string) =>
      call<CostCorrected>('PUT', `/prompts/${encodeURIComponent(id)}/attempts/${attempt}/cost`, { nanoUsd, reason }),
    dropVersion: (projection: string, version: number) =>
      call<null>('DELETE', `/projections/${encodeURIComponent(projection)}/versions/${version}`),
  };
}

function toSearch(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return { detail: text.slice(0, 200) };
    throw error;
  }
}

/**
 * What a fault run leaves behind, and all that the checker reads: plain JSON, so that a run can be judged again later.
 * Times are milliseconds since 1970 of the machine's one clock, unless they are RFC 3339 of the database.
 */
import type { RetryPolicy } from '../../contracts/prompt/events.ts';

/**
 * One request of a client. `ok`: answered 2xx. `fail`: answered 4xx, it surely took no effect. `unknown`: 5xx, no
 * answer, or a broken connection: it may have taken effect, or not.
 */
export type Operation = {
  user: string;
  kind: 'ask' | 'cancel' | 'retry' | 'read';
  invokedAt: number;
  completedAt: number;
  outcome: 'ok' | 'fail' | 'unknown';
  /** HTTP status; null: there was no answer. */
  status: number | null;
  /** Its `Retry-After` header. */
  retryAfter: string | null;
  /** The problem's `code`, of an answer that is one. */
  code: string | null;
  /** Asked about (cancel, retry, read), or the answer's `id` (ask). */
  promptId: string | null;
  /** Of an ask: its Idempotency-Key and a hash of its body. */
  key: string | null;
  bodyHash: string | null;
  retry: RetryPolicy | null;
  replayed: boolean;
  /** Of a read: the status told. */
  told: string | null;
  /** Users whose canary words stand in the answer's headers or body. */
  canariesOf: string[];
};

/** One call that the provider saw. */
export type ProviderCall = {
  at: number;
  /** `<promptId>/<attempt>` */
  attemptId: string | null;
  /** Prompts' text was read and the model ran: paid, whoever read the answer. */
  billed: boolean;
  /** HTTP status; 0: none was sent. */
  status: number;
  fault: string | null;
  nanoUsd: number | null;
};

/** A row of the log, its data trimmed to what the checker needs (no prompt text, no answers). */
export type LoggedEvent = {
  position: number;
  streamId: string;
  version: number;
  eventId: string;
  type: string;
  recordedAt: string;
  data: {
    userId: string;
    model: string;
    retry?: RetryPolicy;
    attempt?: number | null;
    token?: string;
    generation?: number;
    end?: string;
    code?: string;
    nanoUsd?: number | null;
    boundNanoUsd?: number | null;
  };
};

/** The read model's row of a prompt. */
export type ReadPrompt = {
  promptId: string;
  userId: string;
  status: string;
  attempts: number;
  position: number;
};
/** Sums over one user's prompts, nano-USD. */
export type UserTotals = {
  userId: string;
  prompts: number;
  completed: number;
  failed: number;
  confirmed: number;
  wasted: number;
  unknownBound: number;
};

export type DatabaseState = {
  log: LoggedEvent[];
  outbox: { promptId: string; state: string; dispatch: number | null; token: string | null }[];
  cursor: number;
  parkedStreams: string[];
  prompts: ReadPrompt[];
  totals: UserTotals[];
  /** Checksums of every read model table, live and after a rebuild from the first event. */
  checksums: { live: Record<string, string>; rebuilt: Record<string, string> };
};

/** What one connection of the live feed was sent, in order. */
export type FeedConnection = {
  user: string;
  isAdmin: boolean;
  /** Position given with `subscribe`; null: from now on. */
  after: number | null;
  frames: {
    type: 'hello' | 'event' | 'position' | 'resync' | 'delta' | 'error';
    position: number | null;
    promptId: string | null;
    status: string | null;
    /** Users whose canary words stand in the frame. */
    canariesOf: string[];
  }[];
};

/** Something the nemesis did. `hits`: the services whose processes it ended, paused or cut off. */
export type InjectedFault = {
  at: number;
  until: number;
  kind: string;
  hits: string[];
};

export type ProcessSample = {
  at: number;
  service: string;
  pid: number;
  rssBytes: number;
  openFiles: number;
};

export type Evidence = {
  seed: number;
  startedAt: number;
  /** The last fault ended, nothing more is asked. */
  quietAt: number;
  /** When the system was found idle and clean; null: it was not, within the time given. */
  cleanAt: number | null;
  operations: Operation[];
  calls: ProviderCall[];
  database: DatabaseState;
  redis: { tasksLength: number; tasksPending: number; memoryBytes: number };
  feed: FeedConnection[];
  faults: InjectedFault[];
  samples: ProcessSample[];
  /** Most connections to Postgres that were seen at once. */
  postgresConnections: number;
  /** Ends of processes that nobody asked for. */
  unexpectedExits: {
    at: number;
    service: string;
    code: number | null;
    signal: string | null;
    /** Its last words. */
    said: string;
  }[];
  /** Canary words and keys found where they must not be: logs, metrics, Redis, command lines. */
  secretsFound: { where: string; what: string }[];
  limits: {
    cleanWithinMs: number;
    rssBytes: number;
    openFiles: number;
    postgresConnections: number;
    tasksLength: number;
  };
};

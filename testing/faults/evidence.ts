/**
 * What a fault run leaves behind, and all that the checker reads: plain JSON, so that a run can be judged again later.
 * Times are milliseconds since 1970 of the machine's one clock, unless they are RFC 3339 of the database.
 */
import type { RetryPolicy } from '../../contracts/prompt/events.ts';

/**
 * One request of a client. `ok`: answered 2xx. `fail`: answered 4xx, or never sent to its end: it surely took no effect.
 * `unknown`: 5xx, no answer, or a broken connection: it may have taken effect, or not.
 */
export type Operation = {
  user: string;
  /** The instance that was asked, e.g. `command-api-1`; the service where a gateway chose it. */
  api: string;
  /** `read`: one prompt; `stats`: any of the statistics. */
  kind: 'ask' | 'cancel' | 'retry' | 'read' | 'list' | 'timeline' | 'stats';
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
  /** Of an ask: SHA-256 of its prompt, by which its event in the log is known, also when no answer came. */
  promptHash: string | null;
  retry: RetryPolicy | null;
  replayed: boolean;
  /** The status told. */
  told: string | null;
  /** Of a read: the `minPosition` it was made with. */
  minPosition: number | null;
  /** The position told: of the event (ask, cancel, retry), of the prompt (read), of the read model (stats). */
  position: number | null;
  /** Of a list: its prompts as told; of a timeline: its events. */
  rows: { promptId: string; position: number; status: string }[];
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
  /** When its transaction was committed, with its fraction; null: Postgres does not tell, or there is none. */
  committedAt: number | null;
  data: {
    userId: string;
    model: string;
    retry?: RetryPolicy;
    attempt?: number | null;
    token?: string;
    /** Process that began the attempt. */
    worker?: string;
    /** Of a submission: keyed hash of its body when it came with an Idempotency-Key, SHA-256 of its prompt. */
    bodyHash?: string | null;
    promptHash?: string | null;
    generation?: number;
    end?: string;
    code?: string;
    /** Of a submission, RFC 3339. */
    notBefore?: string | null;
    expiresAt?: string | null;
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

/** The ledger's row of one attempt, nano-USD. */
export type LedgerEntry = {
  promptId: string;
  attempt: number;
  userId: string;
  model: string;
  /** `reserved`, `confirmed`, `wasted`, `unknown` or `void`. */
  state: string;
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  reservedPosition: number;
  settledPosition: number | null;
};
/** What the ledger keeps of all entries of one user and model, nano-USD. */
export type LedgerAccount = {
  userId: string;
  model: string;
  prompts: number;
  reserved: number;
  confirmed: number;
  wasted: number;
  unknownBound: number;
};
export type Ledger = {
  /** Up to where the projectors of the run have posted it. */
  position: number;
  entries: LedgerEntry[];
  accounts: LedgerAccount[];
  /** How often an audit told, while the run went on, that it and the read models differ. */
  differencesTold: number;
};

export type DatabaseState = {
  log: LoggedEvent[];
  outbox: { promptId: string; state: string; dispatch: number | null; token: string | null }[];
  cursor: number;
  parkedStreams: string[];
  prompts: ReadPrompt[];
  totals: UserTotals[];
  /** Null: there is none. */
  ledger: Ledger | null;
  /** Checksums of every read model table, live and after a rebuild from the first event. */
  checksums: { live: Record<string, string>; rebuilt: Record<string, string> };
};

/** What one connection of the live feed was sent, in order. */
export type FeedConnection = {
  user: string;
  isAdmin: boolean;
  /** Position given with `subscribe`; null: from now on. */
  after: number | null;
  /** The client itself left again soon: it need not have come to the end. */
  brief: boolean;
  frames: {
    type: 'hello' | 'event' | 'position' | 'resync' | 'delta' | 'error';
    position: number | null;
    promptId: string | null;
    status: string | null;
    /** Users whose canary words stand in the frame. */
    canariesOf: string[];
  }[];
};

/** Something the nemesis did. `hits`: what it was aimed at; what that did to whom is in the impairments. */
export type InjectedFault = {
  at: number;
  until: number;
  kind: string;
  hits: string[];
};

/**
 * What kept one process from its work, or Postgres from everybody's: measured where it is done (signals, exits, wires,
 * the process's own event loop), not where it was meant.
 */
export type Impairment = {
  at: number;
  until: number;
  /**
   * e.g. `worker-1`, or the worker's name as it stands in the log; `postgres`, `redis`, `provider`: everybody's;
   * `harness`: whoever asks, and looks at the clock.
   */
  instance: string;
  /** That process alone; null: whichever was the instance's at the time. */
  pid: number | null;
  what: 'ended' | 'stopped' | 'stalled' | 'starved' | 'cut off' | 'late' | 'away' | 'refusing';
};

export type ProcessSample = {
  at: number;
  service: string;
  pid: number;
  rssBytes: number;
  openFiles: number;
};

/** The longest pause between two faults, unless it is said: with these a fault comes every three to four seconds. */
export const CALM_SECONDS = 3.5;

/** What the run was to do: what it must have come by depends on it. */
export type Plan =
  | { kind: 'chaos'; minutes: number; perSecond: number; calmSeconds: number; mixes: string[] }
  | { kind: 'matrix'; cases: number }
  | { kind: 'simulation' };

/** Prompts that a list is asked for. */
export const LONGEST_PAGE = 200;

export type Evidence = {
  plan: Plan;
  seed: number;
  startedAt: number;
  /** The last fault ended, nothing more is asked. */
  quietAt: number;
  /** When the system was found idle and clean; null: it was not, within the time given. */
  cleanAt: number | null;
  operations: Operation[];
  calls: ProviderCall[];
  database: DatabaseState;
  /** `longestTasks`: most entries of the stream that were seen at once while the run went on. */
  redis: { tasksLength: number; tasksPending: number; longestTasks: number; memoryBytes: number };
  feed: FeedConnection[];
  faults: InjectedFault[];
  impairments: Impairment[];
  /** Every process that was started. */
  processes: { instance: string; pid: number }[];
  /** Seen from outside: answers of Postgres thrown away on their way, dispatch numbers given anew, files in the spool. */
  seen: { repliesLost: number; resyncs: number; spooled: number };
  samples: ProcessSample[];
  /** Most connections to Postgres that were seen at once, and whose they were. */
  postgresConnections: { most: number; whose: string };
  /** Ends of processes that nobody asked for, and those of services that were told to stop and did not end with 0. */
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
    /** Entries that may be in the stream: what the relay's windows allow, what the workers hold, what was put there. */
    tasksLength: number;
    leaseMs: number;
    /** An attempt's deadline. */
    callTimeoutMs: number;
    /** Whoever asks, cancels or redrives is answered within this time, be it with 503. */
    answerWithinMs: number;
    /** Whoever misses fewer events than this is sent them, and no `resync`. */
    feedBehind: number;
  };
};

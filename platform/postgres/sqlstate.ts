/** Errors of Postgres told apart by SQLSTATE and constraint name, never by their text. */
type DatabaseFault = { code?: unknown; constraint?: unknown };

const fault = (error: unknown): DatabaseFault => (typeof error === 'object' && error !== null ? error : {});

export const sqlState = (error: unknown): string | null => {
  const { code } = fault(error);
  // No SQLSTATE begins with E; EPIPE is the system's.
  return typeof code === 'string' && /^(?!E)[0-9A-Z]{5}$/.test(code) ? code : null;
};

/**
 * The whole transaction may be made again: serialization, deadlock, a commit of which nobody knows (40003), lock and
 * statement time-outs, shutdowns, a server that takes no writes (25006: a standby, where the primary will be again).
 */
const RETRYABLE = new Set([
  ...['40001', '40003', '40P01', '55P03', '57014', '57P01', '57P02', '57P03', '25006', '25P03', '25P04', '53300'],
]);
export const isRetryable = (error: unknown): boolean => RETRYABLE.has(sqlState(error) ?? '');

/** Somebody else holds a row that was to be changed: of an append, one of its own. */
export const isLocked = (error: unknown): boolean => sqlState(error) === '55P03';

/** Of the system: no connection was made (files, ports, routes or names ran out or are away), or the one there broke. */
const NETWORK =
  /^(E(CONNREFUSED|CONNRESET|CONNABORTED|PIPE|TIMEDOUT|HOSTUNREACH|HOSTDOWN|NETUNREACH|NETDOWN|NETRESET|ADDRNOTAVAIL|MFILE|NFILE|NOBUFS|NOTFOUND)|EAI_\w+)$/;
/**
 * The server ended this connection, or took none: by an administrator's word (57P01), in a crash (57P02), with its
 * database (57P04), or because it was idle (57P05).
 */
const ENDED = /^(08|57P0[1245])/;
/** pg gives these no code of their own. */
const PG_MESSAGES =
  /^(Connection terminated|Query read timeout|timeout (expired|exceeded)|Client (has encountered a connection error|was closed))/;

/** The connection broke: whether the statement took effect is not known. */
export function isConnectionLoss(error: unknown): boolean {
  const { code } = fault(error);
  if (typeof code === 'string' && (NETWORK.test(code) || ENDED.test(code))) return true;
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss);
  return error instanceof Error && sqlState(error) === null && PG_MESSAGES.test(error.message);
}

/** This login may not do it, or what it asks for is not there: a mend of rights or of the schema is needed. */
export const isNotAllowed = (error: unknown): boolean => ['42501', '42883', '42P01'].includes(sqlState(error) ?? '');

/** A table is not there: of a projection, its version was dropped. */
export const isUndefinedTable = (error: unknown): boolean => sqlState(error) === '42P01';

/** Disk full, out of memory, read-only: a write cannot be made durable now. */
export const isOutOfResources = (error: unknown): boolean => {
  const state = sqlState(error) ?? '';
  return state.startsWith('53') || state === '25006' || state.startsWith('58') || state.startsWith('XX');
};

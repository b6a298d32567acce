/** Errors of Postgres told apart by SQLSTATE and constraint name, never by their text. */
type DatabaseFault = { code?: unknown; constraint?: unknown };

const fault = (error: unknown): DatabaseFault => (typeof error === 'object' && error !== null ? error : {});

export const sqlState = (error: unknown): string | null => {
  const { code } = fault(error);
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
};

/** The whole transaction may be made again: serialization, deadlock, lock and statement time-outs, shutdowns. */
const RETRYABLE = new Set(['40001', '40P01', '55P03', '57014', '57P01', '57P02', '57P03', '25P03', '25P04', '53300']);
export const isRetryable = (error: unknown): boolean => RETRYABLE.has(sqlState(error) ?? '');

const NETWORK = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND', 'EAI_AGAIN']);
/** pg gives these no code of their own. */
const PG_MESSAGES =
  /^(Connection terminated|Query read timeout|timeout (expired|exceeded)|Client has encountered a connection error)/;

/** The connection broke: whether the statement took effect is not known. */
export function isConnectionLoss(error: unknown): boolean {
  const { code } = fault(error);
  // 57P01, 57P02: the server ended this connection, by an administrator's word or in a crash.
  if (typeof code === 'string' && (NETWORK.has(code) || /^(08|57P0[12])/.test(code))) return true;
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss);
  return error instanceof Error && sqlState(error) === null && PG_MESSAGES.test(error.message);
}

/** Disk full, out of memory, read-only: a write cannot be made durable now. */
export const isOutOfResources = (error: unknown): boolean => {
  const state = sqlState(error) ?? '';
  return state.startsWith('53') || state === '25006' || state.startsWith('58') || state.startsWith('XX');
};

/** A server that is up and will not have us: trying again changes nothing, whoever set the address must. */
import type pg from 'pg';
import { sqlState } from './sqlstate.ts';

/** The message says what the server said and which variable to look at; it has no password. */
export class LoginRefusedError extends Error {
  readonly code = 'login_refused';
}

/** A wrong password; no such login, or none from here; no such database. While it starts up a server says 57P03. */
const REFUSED: ReadonlySet<string | null> = new Set(['28P01', '28000', '3D000']);
/** The server asks for a password and the address has none; pg gives it no code. */
const NO_PASSWORD = /^SASL: .*client password must be/;

export const isRefused = (error: unknown): error is Error =>
  error instanceof Error && (REFUSED.has(sqlState(error)) || NO_PASSWORD.test(error.message));

/** One sentence; null for any other error. `variable` names where the address stands. */
export function refusalOf(variable: string, error: unknown): string | null {
  if (!isRefused(error)) return null;
  const state = sqlState(error);
  const said = state === null ? 'it asks for a password' : `${error.message} (${state})`;
  return `PostgreSQL refuses the login of ${variable}: ${said}. Put the address right, or make what it names.`;
}

/** Throws `LoginRefusedError`; a server that cannot be asked now is not judged. */
export async function refuseWrongLogin(variable: string, db: Pick<pg.Pool, 'query'>): Promise<void> {
  try {
    await db.query('SELECT 1');
  } catch (error) {
    const refusal = refusalOf(variable, error);
    if (refusal) throw new LoginRefusedError(refusal);
  }
}

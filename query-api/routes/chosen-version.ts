/** `version` of a query: the read model that is answered from, where it is not the one that is served. */
import { problem } from '../../platform/http/problem.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import { isUndefinedTable } from '../../platform/postgres/sqlstate.ts';
import type { ReadDeps } from '../deps.ts';
import { type ChosenVersion, findVersion } from '../read-models/chosen-version.ts';
import { invalidParameter } from './query-parts.ts';

type Asked = { version?: number; asOf?: string; minPosition?: number };

/**
 * Null when none is named. Throws 404 for one that there is not (any more), and 400 for a user, for one that is still built,
 * and beside `asOf` or `minPosition`: a look back is made from the log, at the prices on record, and a version that is kept
 * apart comes no further.
 */
export async function chosenVersionOf(
  { pool }: Pick<ReadDeps, 'pool'>,
  { version, ...asked }: Asked,
  who: KeyHolder,
): Promise<ChosenVersion | null> {
  if (version === undefined) return null;
  if (who.role !== 'admin') throw invalidParameter('version', 'is for admins');
  for (const name of ['asOf', 'minPosition'] as const)
    if (asked[name] !== undefined) throw invalidParameter(name, 'does not go with version');
  const found = await findVersion(pool, version);
  if (found === 'unknown') throw noSuchVersion(version);
  if (found === 'unfinished') throw invalidParameter('version', 'is not whole yet: see GET /projections');
  return found;
}

/** Runs a read of it; 404 when it was dropped meanwhile. */
export async function readChosen<T>({ version }: ChosenVersion, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw isUndefinedTable(error) ? noSuchVersion(version) : error;
  }
}

const noSuchVersion = (version: number) =>
  problem('not_found', {
    detail: `there is no version ${version} of the read model`,
    errors: [{ pointer: '?version', message: 'is none that there is: see GET /projections' }],
  });

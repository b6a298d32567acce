/** Which version a rebuild works on: what an earlier one of the same kind left, or a new one. */
import type pg from 'pg';
import type { LogArchive } from '../../platform/archive/open-archive.ts';
import { readHead } from '../../platform/postgres/read.ts';
import { RebuildError } from './refused.ts';
import { beginVersion, dropVersion, hasDeltas, listVersions, type Version } from './versions.ts';

export type Kind = {
  until?: { position: number } | { time: string };
  prices?: { name: string };
  /** Do not take up what an earlier rebuild left. */
  anew?: boolean;
  /** Of a version that is begun. */
  lanes: number;
};

export type Begun = Version & { resumed: boolean };

/**
 * Of what stands beside the live version only what a rebuild of this kind has left goes here. What could be served stays,
 * and what is kept apart: whether this rebuild comes to a good end is not known yet.
 */
export async function beginOrTakeUp(
  pool: pg.Pool,
  live: number,
  kind: Kind,
  archive: LogArchive | null,
): Promise<Begun> {
  const frozen = kind.until !== undefined || kind.prices !== undefined;
  const prices = kind.prices?.name ?? null;
  const until = kind.until ? await targetOf(pool, kind.until, archive) : null;
  const isSame = (one: Version) =>
    one.frozen === frozen && one.prices === prices && (until === null || one.target === until);
  // What was served once has a verdict, or is version 1.
  const isLeft = (one: Version) =>
    one.status === 'building' || (!one.frozen && one.version > live && one.verdict === null);
  const left = (await listVersions(pool)).filter((one) => !one.isLive && isLeft(one) && isSame(one));
  const [first] = left;
  const isWhole = first && (first.status === 'ready' || (await hasDeltas(pool, first.version)));
  const found = isWhole && !kind.anew ? first : undefined;
  for (const one of left) if (one !== found) await dropVersion(pool, one.version);
  if (found) return { ...found, resumed: true };
  const target = until ?? (await readHead(pool));
  const version = await beginVersion(pool, { target, frozen, prices, lanes: kind.lanes });
  const begun = (await listVersions(pool)).find((one) => one.version === version);
  return { ...begun!, resumed: false };
}

/** Throws `RebuildError` where a log that ends at `head` has no such place. */
export function refuseUntil(until: { position: number } | { time: string }, head: number): void {
  if ('time' in until) {
    if (Date.parse(until.time) > Date.now()) throw new RebuildError(`${until.time} is yet to come.`);
    return;
  }
  if (until.position > head) throw new RebuildError(`The log ends at position ${head}, before ${until.position}.`);
  if (until.position < 1) throw new RebuildError('Positions begin at 1.');
}

async function targetOf(
  pool: pg.Pool,
  until: { position: number } | { time: string },
  archive: LogArchive | null,
): Promise<number> {
  refuseUntil(until, await readHead(pool));
  if ('position' in until) return until.position;
  const { rows } = await pool.query<{ position: number | null }>('SELECT position_at_v2($1) AS position', [until.time]);
  const position = rows[0]?.position ?? (await archive?.positionAt(until.time));
  if (!position) throw new RebuildError(`The log has no event until ${until.time}.`);
  return position;
}

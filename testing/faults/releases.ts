/** A part of `npm run faults`: this release beside the next one and back, and a Postgres that is older than its Redis. */
import { releaseCases } from './cases/releases.ts';
import type { Evidence } from './evidence.ts';
import type { CaseResult, MatrixOptions } from './matrix.ts';
import { runMatrix } from './matrix.ts';
import { makeNextRelease } from './next-release.ts';
import { OLDER_POSTGRES, runOlderPostgres } from './older-postgres.ts';

type Options = Pick<MatrixOptions, 'onCase' | 'onStuck'> & {
  /** Cases whose names it takes. */
  isWanted: (name: string) => boolean;
};

/** Each of its two fleets leaves a history, unless it did not come so far: then its case has failed. */
export async function runReleases(options: Options): Promise<Evidence[]> {
  const beside = await besideTheNext(options);
  const older = options.isWanted(OLDER_POSTGRES) ? await olderPostgres(options) : null;
  return [beside, older].filter((one) => one !== null);
}

async function besideTheNext({ isWanted, ...options }: Options): Promise<Evidence | null> {
  const next = makeNextRelease();
  try {
    const cases = releaseCases(next).filter(({ name }) => isWanted(name));
    if (cases.length === 0) return null;
    return (await runMatrix({ seed: 9, cases, fleet: { reader: next.root }, ...options })).evidence;
  } finally {
    next.remove();
  }
}

async function olderPostgres({ onCase, onStuck }: Options): Promise<Evidence | null> {
  const begun = performance.now();
  const tell = (error: string | null): void => {
    const result: CaseResult = { name: OLDER_POSTGRES, ok: error === null, seconds: 0, error };
    onCase({ ...result, seconds: (performance.now() - begun) / 1000 });
  };
  try {
    const evidence = await runOlderPostgres(onStuck);
    tell(null);
    return evidence;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    return null;
  }
}

import type { After } from './database.ts';

/** Releases in the reverse order of their making, which node:test's own hooks do not promise. */
export function cleanup(after: (fn: () => Promise<void>) => void): After {
  const releases: (() => Promise<void>)[] = [];
  after(async () => {
    for (const release of releases.reverse()) await release();
  });
  return { after: (fn) => releases.push(fn) };
}

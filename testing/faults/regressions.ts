/** Chaos runs that failed once, and what they found; `npm run chaos -- --regressions` runs them again. */
import type { Mix } from './nemesis.ts';

export type Regression = { seed: number; minutes: number; rate: number; calm: number; mix: Mix | 'all'; found: string };

export const regressions: Regression[] = [
  {
    seed: 11,
    minutes: 1.5,
    rate: 50,
    calm: 3.5,
    mix: 'all',
    found: 'command-api ended when Postgres went away while it was starting',
  },
  {
    seed: 3030,
    minutes: 30,
    rate: 50,
    calm: 12,
    mix: 'all',
    found: 'a projector ended when Redis fell silent just as its connection for hints was made anew',
  },
];

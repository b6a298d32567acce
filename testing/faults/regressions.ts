/** Seeds of chaos runs that failed once, and what they found. `npm run chaos -- --regressions` runs them again. */
import type { Mix } from './nemesis.ts';

export type Regression = { seed: number; minutes: number; mixes: Mix[]; found: string };

export const regressions: Regression[] = [];

/** Seeds that broke something once, and what; the simulation's test runs them every time. */
export const regressions: { seed: number; hours: number; prompts: number; found: string }[] = [];

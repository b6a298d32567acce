/** `--what-if MODEL` and `--what-if FROM=TO`: at which model's prices a prompt is rated. */

/** `from` null: every model that no other pair names. */
export type Swap = { from: string | null; to: string };

export const parseSwap = (text: string): Swap => {
  const at = text.indexOf('=');
  return at < 0 ? { from: null, to: text } : { from: text.slice(0, at), to: text.slice(at + 1) };
};

/** What is wrong with them, in a sentence; null when nothing is. */
export function swapFault(swaps: readonly Swap[], names: ReadonlySet<string>): string | null {
  const seen = new Set<string | null>();
  for (const { from, to } of swaps) {
    if (from === '' || to === '') return '--what-if wants a model, or FROM=TO with two of them.';
    if (!names.has(to)) return `The prices have no model "${to}". They have: ${[...names].sort().join(', ')}.`;
    if (seen.has(from)) return `--what-if says twice what ${from ?? 'every model'} would be.`;
    seen.add(from);
  }
  return null;
}

export function modelFor(swaps: readonly Swap[]): (model: string) => string {
  const named = new Map(swaps.map(({ from, to }) => [from, to]));
  return (model) => named.get(model) ?? named.get(null) ?? model;
}

/** The options as they were given, whatever their order: they tell one version from another. */
export const pricesName = (book: string, swaps: readonly Swap[]): string =>
  [book, ...swaps.map(({ from, to }) => `--what-if ${from === null ? to : `${from}=${to}`}`).sort()].join(' ');

/** A misspelt FROM would change nothing, silently: those that neither prices nor prompts know. */
export function strangers(
  swaps: readonly Swap[],
  names: ReadonlySet<string>,
  rows: readonly { model: string }[],
): string[] {
  const asked = new Set(rows.map(({ model }) => model));
  return swaps.flatMap(({ from }) => (from === null || names.has(from) || asked.has(from) ? [] : [from]));
}

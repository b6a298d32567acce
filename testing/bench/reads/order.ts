/** The order in which the events of several copies of a log stand in one: by time, each copy somewhat later than the one before. */

/** Prompts of a quarter of an hour are asked in its first four minutes; so much later they are still in it. */
export const SPREAD_MS = 600_000;
const WINDOW_MS = 3_600_000;

export type Order = {
  copies: number;
  /** Event `e` (from 0) of copy `k`, as `e * copies + k`, in the order of the log. */
  sequence: Uint32Array;
  /** The other way round: positions, from 1. */
  positions: Uint32Array;
  /** Milliseconds by which a copy is later than the first; they do not sink. */
  shifts: Float64Array;
};

/** `times`: of the events of one copy, milliseconds, not sinking. At equal times the events of a copy keep their order. */
export function orderCopies(times: readonly number[], copies: number): Order {
  const total = times.length * copies;
  if (total >= 2 ** 31) throw new RangeError(`${total} events are too many`);
  const shifts = Float64Array.from({ length: copies }, (_, k) => Math.floor((k * SPREAD_MS) / copies));
  const sequence = new Uint32Array(total);
  const positions = new Uint32Array(total);
  /** Of each event: the first copy that has no place yet. */
  const next = new Uint32Array(times.length);
  let first = 0;
  let filled = 0;
  for (let from = times[0] ?? 0; filled < total; from = Math.max(from + WINDOW_MS, times[first] ?? 0)) {
    const to = from + WINDOW_MS;
    const keys: number[] = [];
    for (let e = first; e < times.length && times[e]! < to; e += 1) {
      let k = next[e]!;
      for (; k < copies && times[e]! + shifts[k]! < to; k += 1)
        keys.push((times[e]! + shifts[k]! - from) * total + e * copies + k);
      next[e] = k;
    }
    while (first < times.length && next[first] === copies) first += 1;
    // Below 2^22 × 2^31, so that every key is exact.
    for (const key of Float64Array.from(keys).sort()) {
      const at = key % total;
      sequence[filled] = at;
      filled += 1;
      positions[at] = filled;
    }
  }
  return { copies, sequence, positions, shifts };
}

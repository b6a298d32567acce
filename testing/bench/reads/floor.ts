/** Which events of several copies of a log lie below a floor, and which of them have left its table. */
import type { Order } from './order.ts';

export type Floor = {
  /** Position up to which events are archived; 0 when none is. */
  position: number;
  /** Of event `e` (from 0) of copy `k`: its stream lies wholly at or below the floor and has ended for good. */
  hasLeft: (e: number, k: number) => boolean;
};

export type Below = {
  order: Order;
  /** Of the events of one copy, milliseconds. */
  times: readonly number[];
  /** Of each event of one copy: the last one of its stream (from 0), or -1 when that has not ended for good. */
  lastOf: Int32Array;
  /** Events that were recorded before this are below the floor. Milliseconds. */
  before: number;
};

export function floorOf({ order, times, lastOf, before }: Below): Floor {
  const { copies, sequence, positions, shifts } = order;
  let [low, high] = [0, sequence.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = sequence[middle]!;
    const event = Math.floor(at / copies);
    if (times[event]! + shifts[at - event * copies]! < before) low = middle + 1;
    else high = middle;
  }
  const hasLeft = (e: number, k: number) => {
    const last = lastOf[e]!;
    return last >= 0 && positions[last * copies + k]! <= low;
  };
  return { position: low, hasLeft };
}

export const NO_FLOOR: Floor = { position: 0, hasLeft: () => false };

/** How many entries may wait undelivered in the stream, per lane and model: the backlog waits in Postgres. */

export type LaneNumber = 0 | 1 | 2;
export const laneNames = ['interactive', 'normal', 'batch'] as const;

/** A lane's part of the window while more urgent lanes have work too. Never 0: a lower lane is slow, not starved. */
const SHARE_BEHIND_OTHERS: readonly number[] = [1, 0.5, 0.125];
const SHARE_ALONE: readonly number[] = [1, 1, 0.5];
/** Without any worker in sight, so that the first one finds work. */
const MIN_WINDOW = 8;

/** About twice the slots: one being worked on, one at hand when it is done. */
export function windowOf(lane: LaneNumber, slots: number, urgentLanesReady: boolean): number {
  const share = (urgentLanesReady ? SHARE_BEHIND_OTHERS : SHARE_ALONE)[lane] ?? 1;
  return Math.max(1, Math.ceil(Math.max(MIN_WINDOW, 2 * slots) * share));
}

/** What was published and not yet delivered, by lane and model. */
export type Undelivered = {
  add: (dispatch: number, lane: LaneNumber, model: string) => void;
  /** Everything up to this dispatch number has been given to a worker. */
  delivered: (upTo: number) => void;
  count: (lane: LaneNumber, model: string) => number;
  clear: () => void;
};

export function createUndelivered(): Undelivered {
  let entries: { dispatch: number; key: string }[] = [];
  const counts = new Map<string, number>();
  const keyOf = (lane: LaneNumber, model: string) => `${lane}/${model}`;
  return {
    add: (dispatch, lane, model) => {
      const key = keyOf(lane, model);
      entries.push({ dispatch, key });
      counts.set(key, (counts.get(key) ?? 0) + 1);
    },
    delivered: (upTo) => {
      const first = entries.findIndex((entry) => entry.dispatch > upTo);
      const gone = entries.splice(0, first === -1 ? entries.length : first);
      for (const { key } of gone) counts.set(key, (counts.get(key) ?? 1) - 1);
    },
    count: (lane, model) => counts.get(keyOf(lane, model)) ?? 0,
    clear: () => {
      entries = [];
      counts.clear();
    },
  };
}

/** How far something is, as lines of text. */

export type Progress = {
  phase: string;
  position: number;
  target: number;
  eventsPerSecond: number;
  resumed: boolean;
};

/** Of these `position` is the share of `target` that is done. */
const SHARES = new Set(['indexing', 'comparing']);

/** At most two a second, and each change of phase. `what` is taken up again, where that is so. */
export function progressLines<P extends Progress>(what: (progress: P) => string): (progress: P) => void {
  let shownAt = -Infinity;
  let shown: string | null = null;
  let isFirst = true;
  return (progress) => {
    const { phase, position, target, eventsPerSecond, resumed } = progress;
    if (isFirst && resumed) console.error(`${what(progress)} is taken up again`);
    isFirst = false;
    if ((phase === 'folding' || phase === 'posting') && eventsPerSecond === 0) return; // nothing is known yet
    if (phase === shown && performance.now() - shownAt < 500) return;
    shownAt = performance.now();
    shown = phase;
    // From less than a hundredth nothing can be told of the rest.
    const isTold = eventsPerSecond > 0 && 100 * position >= target;
    const left = isTold ? `, ${Math.ceil((target - position) / eventsPerSecond)} s left` : '';
    const done = SHARES.has(phase)
      ? `${target > 0 ? Math.floor((100 * position) / target) : 100} %`
      : `${position} of ${target} events, ${eventsPerSecond}/s`;
    console.error(`${phase.replace('_', ' ')}: ${done}${left}`);
  };
}

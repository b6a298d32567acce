/** Tells how far a phase of something long is, with its rate. */
export type Metered = {
  position: number;
  target: number;
  /** Since the meter was made. */
  eventsPerSecond: number;
};

/** `phase`: what goes with each telling. Of what is called: `events`, as many as positions unless said. */
export function createMeter<Phase extends object>(
  onProgress: (progress: Phase & Metered) => void,
  phase: Phase,
): (position: number, target: number, events?: number) => void {
  const startedAt = performance.now();
  return (position, target, events = position) => {
    const eventsPerSecond = Math.round((events * 1000) / Math.max(1, performance.now() - startedAt));
    onProgress({ ...phase, position, target, eventsPerSecond });
  };
}

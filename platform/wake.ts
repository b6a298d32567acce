/** A loop's alarm clock: waits until it is rung, the time is over, or the loop is told to stop. */
export type Wake = {
  ring: () => void;
  /** Resolves at once when it was rung since the last wait: a ring between two waits is not lost. */
  wait: (ms: number) => Promise<void>;
};

export function createWake(): Wake {
  let rung = false;
  let release: (() => void) | null = null;
  return {
    ring: () => {
      rung = true;
      release?.();
    },
    wait: (ms) =>
      new Promise((resolve) => {
        const done = () => {
          rung = false;
          release = null;
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(done, ms);
        if (rung) done();
        else release = done;
      }),
  };
}

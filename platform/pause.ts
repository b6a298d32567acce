/** A sleep that a stop cuts short. */
export type Pause = {
  for: (ms: number) => Promise<void>;
  /** Ends the pauses that last now; later ones are whole again, so a loop that goes on does not spin. */
  cut: () => void;
};

export function createPause(sleep: (ms: number) => Promise<void>): Pause {
  const lasting = new Set<() => void>();
  return {
    for: async (ms) => {
      let end = () => {};
      const cut = new Promise<void>((resolve) => {
        end = resolve;
      });
      lasting.add(end);
      try {
        await Promise.race([sleep(ms), cut]);
      } finally {
        lasting.delete(end);
      }
    },
    cut: () => {
      for (const end of lasting) end();
    },
  };
}

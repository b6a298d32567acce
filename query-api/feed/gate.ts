/**
 * At most `slots` tasks at a time, the others in line. A thousand clients that come back at once must not queue on
 * the pool, where whoever waits too long fails, and with them every other request.
 */
export function createGate(slots: number): <T>(task: () => Promise<T>) => Promise<T> {
  const line: (() => void)[] = [];
  let free = slots;
  return async (task) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((go) => line.push(go));
    try {
      return await task();
    } finally {
      const next = line.shift();
      if (next) next();
      else free += 1;
    }
  };
}

/** Ports that stay ours while a process that listens there is down: none that the system gives to outgoing connections. */
import { createServer } from 'node:net';

/** Below the usual ephemeral range (Linux: from 32768); handed out once each. */
const FIRST = 20_000;
const LAST = 29_999;
let next = FIRST + Math.floor(Math.random() * (LAST - FIRST));

/** A loopback port that nobody listens on. */
export async function portToKeep(): Promise<number> {
  for (let tries = 0; tries <= LAST - FIRST; tries += 1) {
    next = next >= LAST ? FIRST : next + 1;
    const port = next; // others may take the next one meanwhile
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${FIRST} to ${LAST}`);
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });

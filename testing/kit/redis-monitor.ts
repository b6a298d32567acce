/**
 * Every command that a Redis takes, in its order. ioredis has `monitor()`, but loses its connection when the first command
 * comes in one piece with the reply to MONITOR: it knows a moment too late that it monitors.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { After } from './database.ts';

/** The name of a command in lower case, and its first argument. */
export type Seen = { command: string; key: string };

/** What is said in the logical database of `uri` from now on is put in the list, a command that a script calls among it. */
export async function monitorRedis(t: After, uri: string): Promise<Seen[]> {
  const { hostname, port, pathname, username, password } = new URL(uri);
  const seen: Seen[] = [];
  const socket = connect(Number(port), hostname);
  t.after(async () => {
    socket.destroy();
  });
  const lines = createInterface({ input: socket });
  lines.on('line', (line) => {
    const said = /^\+[\d.]+ \[(\d+) \S+\] "([^"]+)"(?: "([^"]*)")?/.exec(line);
    if (said?.[1] !== pathname.slice(1)) return;
    const [, , command = '', key = ''] = said;
    seen.push({ command: command.toLowerCase(), key });
  });
  for (const command of [`AUTH ${username || 'default'} ${password}`, 'MONITOR']) {
    const ready = once(lines, 'line');
    socket.write(`${command}\r\n`);
    const [reply] = await ready;
    if (reply !== '+OK') throw new Error(`${command.split(' ')[0]}: ${reply}`);
  }
  return seen;
}

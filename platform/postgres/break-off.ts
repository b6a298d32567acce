import type { Socket } from 'node:net';
import type pg from 'pg';

/** Closes a connection without a word: a goodbye would wait for an answer that may never come. */
export function breakOff(client: pg.ClientBase): void {
  (client as unknown as { connection?: { stream?: Socket } }).connection?.stream?.destroy();
}

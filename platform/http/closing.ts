/**
 * A server that closes waits for its connections. Node ends those that are idle as it begins, once; what falls idle later, what
 * never said anything (browsers and HTTP clients open some ahead of need) and what stopped amid a request would be waited for
 * until the process is ended, since Node's own time-outs end with the listening.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

const LOOK_EVERY_MS = 100;
/** A request may be on its way to a connection that was just made. */
const SILENT_FOR_MS = 1_000;
/** Requests are answered within two seconds, reads within five; a service has ten to stop. */
const ALL_AFTER_MS = 6_000;

/** Returns what to call when the server begins to close. */
export function trackConnections(server: Server): () => void {
  const connections = new Set<Socket>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return () => {
    const look = setInterval(() => server.closeIdleConnections(), LOOK_EVERY_MS);
    const silent = setTimeout(() => {
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
    }, SILENT_FOR_MS);
    const all = setTimeout(() => server.closeAllConnections(), ALL_AFTER_MS);
    server.once('close', () => {
      clearInterval(look);
      clearTimeout(silent);
      clearTimeout(all);
    });
  };
}

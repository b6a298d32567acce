/** A TCP connection with faults: stands between a client and a server, and breaks when it is told to. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export type Wire = {
  port: number;
  /** The target's address with this wire's host and port in it. */
  uri: string;
  /** Connections taken so far. */
  readonly taken: number;
  /** Connections that the server's side ended. */
  readonly ended: number;
  /** Answers thrown away by `loseAnswer`. */
  readonly lost: number;
  /** The next answer of the server is thrown away, and its connection ended: the request took effect. */
  loseAnswer: () => void;
  /** Ends every connection, and each new one. */
  cut: () => void;
  /** Resets every connection now; new ones are taken. */
  reset: () => void;
  /** Half-open: connections stand, nothing passes in either direction. */
  hang: () => void;
  /** New connections go there; those that stand are ended. */
  retarget: (target: string) => void;
  /** Every piece, in both directions, comes so much later. */
  delay: (ms: number) => void;
  /** Whole again for new connections; those that hang are ended. */
  mend: () => void;
  close: () => Promise<void>;
};

export async function openWire(target: string): Promise<Wire> {
  let goal = new URL(target);
  const sockets = new Set<Socket>();
  let [losing, isCut, hangs, lateMs, taken, lost, ended] = [false, false, false, 0, 0, 0, 0];

  const server: Server = createServer((client) => {
    taken += 1;
    if (isCut) return client.destroy();
    const upstream = connect(Number(goal.port), goal.hostname);
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    upstream.on('close', () => {
      if (!client.destroyed) ended += 1;
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
      socket.on('error', end);
    }
    const pass = (to: Socket) => {
      // What was late keeps its place when the wire is mended: a connection never turns its words around.
      let behind = 0;
      return (bytes: Buffer) => {
        if (hangs) return;
        if (lateMs === 0 && behind === 0) {
          to.write(bytes);
          return;
        }
        const due = Math.max(performance.now() + lateMs, behind);
        behind = due;
        setTimeout(() => {
          if (behind === due) behind = 0;
          if (!to.destroyed) to.write(bytes);
        }, due - performance.now());
      };
    };
    client.on('data', pass(upstream));
    const answer = pass(client);
    upstream.on('data', (bytes) => {
      if (!losing) return answer(bytes);
      // The server sends when it has met Sync, and so after the commit.
      losing = false;
      lost += 1;
      return end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the wire has no port');
  const uri = new URL(target);
  uri.hostname = '127.0.0.1';
  uri.port = String(address.port);
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    uri: uri.href,
    loseAnswer: () => {
      losing = true;
    },
    cut: () => {
      isCut = true;
      endAll();
    },
    reset: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    hang: () => {
      hangs = true;
    },
    retarget: (to) => {
      goal = new URL(to);
      endAll();
    },
    delay: (ms) => {
      lateMs = ms;
    },
    mend: () => {
      if (hangs) endAll(); // what was swallowed is missing in the middle of a conversation
      [isCut, losing, hangs, lateMs] = [false, false, false, 0];
    },
    get taken() {
      return taken;
    },
    get ended() {
      return ended;
    },
    get lost() {
      return lost;
    },
    close: async () => {
      endAll();
      await new Promise((done) => server.close(done));
    },
  };
}

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
  /**
   * Half-open: connections stand, nothing passes in either direction, not even their end. Those of now and those made
   * while it lasts stay so for ever, also after `mend`: whoever holds one must find that out by itself. A server learns,
   * as by its keep-alive, when the client has given one up.
   */
  hang: () => void;
  /** New connections go there; those that stand are ended. */
  retarget: (target: string) => void;
  /** New connections go there, as when a name is given another address: those that stand are left as they are. */
  redirect: (target: string) => void;
  /** Every piece, in both directions, comes so much later. */
  delay: (ms: number) => void;
  /** Whole again for new connections; those that hang go on hanging. */
  mend: () => void;
  close: () => Promise<void>;
};

export async function openWire(target: string): Promise<Wire> {
  let goal = new URL(target);
  const sockets = new Set<Socket>();
  const pairs = new Set<{ hangs: boolean }>();
  let [losing, isCut, hangs, lateMs, taken, lost, ended] = [false, false, false, 0, 0, 0, 0];

  // Half-open is allowed, so that a connection that hangs does not answer the client's FIN with one of its own.
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    taken += 1;
    if (isCut) return client.destroy();
    const pair = { hangs };
    pairs.add(pair);
    const upstream = connect(Number(goal.port), goal.hostname);
    const end = () => {
      pairs.delete(pair);
      upstream.destroy();
      if (!pair.hangs) client.destroy();
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
      socket.on('end', end);
      socket.on('error', end);
    }
    const pass = (to: Socket) => {
      // One queue, one timer: two timers may go off in either order, and a connection never turns its words around.
      const late: { due: number; bytes: Buffer }[] = [];
      const write = () => {
        while (late[0] && late[0].due <= performance.now()) {
          const { bytes } = late.shift()!;
          if (!to.destroyed && !pair.hangs) to.write(bytes);
        }
        if (late[0]) setTimeout(write, Math.max(0, late[0].due - performance.now()));
      };
      return (bytes: Buffer) => {
        if (pair.hangs) return;
        if (lateMs === 0 && late.length === 0) {
          to.write(bytes);
          return;
        }
        late.push({ due: Math.max(performance.now() + lateMs, late.at(-1)?.due ?? 0), bytes });
        if (late.length === 1) setTimeout(write, lateMs);
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
      for (const pair of pairs) pair.hangs = true;
    },
    retarget: (to) => {
      goal = new URL(to);
      endAll();
    },
    redirect: (to) => {
      goal = new URL(to);
    },
    delay: (ms) => {
      lateMs = ms;
    },
    mend: () => {
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

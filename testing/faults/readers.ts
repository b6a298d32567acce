/** What users look at while things break: each read asks for at least what its user was told of before. */

import type { Random } from '../kit/random.ts';
import { openAsStream } from './event-stream.ts';
import { type FeedConnection, LONGEST_PAGE, type Operation } from './evidence.ts';
import type { Fleet } from './fleet.ts';
import type { Requests } from './requests.ts';

export type Readers = {
  /** A prompt that its user was just told of. */
  look: (operation: Operation) => Promise<void>;
  /** `waitSeconds`: to be answered only when it has ended. */
  read: (user: string, promptId: string, minPosition?: number, waitSeconds?: number) => Promise<Operation>;
  streams: FeedConnection[];
};

const STATS = ['/stats/users', '/stats/models', '/stats/usage?groupBy=status', '/stats/latency'];
/** Open at a time: each is a connection, and the rest of the run goes on. */
const MOST_STREAMS = 4;

export function createReaders(fleet: Fleet, random: Random, { send, choose }: Requests): Readers {
  const streams: FeedConnection[] = [];
  let open = 0;
  const read: Readers['read'] = (user, promptId, minPosition, waitSeconds) => {
    const path = `/prompts/${promptId}${waitSeconds === undefined ? '' : `?wait=${waitSeconds}`}`;
    return send({ user, kind: 'read', path, promptId, minPosition: minPosition ?? null });
  };

  async function watch(user: string, after: number): Promise<void> {
    if (open >= MOST_STREAMS) return;
    open += 1;
    try {
      const { key } = fleet.users.find(({ name }) => name === user)!;
      const url = `${choose('query-api').base}/live/events`;
      const connection = await openAsStream({ url, user, key, after, ms: random.between(500, 3_000) });
      if (connection) streams.push(connection);
    } finally {
      open -= 1;
    }
  }

  return {
    streams,
    read,
    look: async ({ user, promptId, position }) => {
      if (!promptId || position === null) return;
      const least = { user, minPosition: position };
      const kind = random.next();
      if (kind < 0.3) await send({ ...least, kind: 'read', path: `/prompts/${promptId}`, promptId });
      else if (kind < 0.5) await send({ ...least, kind: 'list', path: `/prompts?limit=${LONGEST_PAGE}`, promptId });
      else if (kind < 0.7) await send({ ...least, kind: 'timeline', path: `/prompts/${promptId}/events`, promptId });
      else if (kind < 0.9) await send({ ...least, kind: 'stats', path: random.pick(STATS) });
      else await watch(user, position);
    },
  };
}

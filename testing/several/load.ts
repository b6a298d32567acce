/** Users who ask, look at what they asked, and wait for the answer: no fault is in it, so that none may be found. */
import type { Clients } from '../faults/clients.ts';
import type { Fleet } from '../faults/fleet.ts';
import type { Random } from '../kit/random.ts';

export type Load = {
  /** Ids of prompts whose answer their user has read. */
  answered: string[];
  /** Resolves when the last user has what was asked for. */
  stop: () => Promise<void>;
};

const WAIT_SECONDS = 4;
/** A read that waits is answered early when its instance stops: it is then sent again, as after a 503 that says when. */
const MOST_READS = 20;

export function startLoad(fleet: Fleet, clients: Clients, random: Random, perSecond: number): Load {
  const users = fleet.users.filter(({ isAdmin }) => !isAdmin).map(({ name }) => name);
  const answered: string[] = [];
  const open = new Set<Promise<void>>();
  let asked = 0;

  async function session(): Promise<void> {
    asked += 1;
    const user = users[asked % users.length]!;
    // Every other one has no key: nothing could be done for it if it were sent and not answered.
    const key = asked % 2 === 0 ? { key: `several-${asked}` } : {};
    const emulate = { delayMs: random.between(20, 300), outputTokens: random.between(1, 60) };
    const operation = await clients.settle(clients.compose(user, { emulate, ...key }));
    if (operation.promptId === null) return;
    await clients.look(operation);
    const least = operation.position ?? 0;
    for (let reads = 0; reads < MOST_READS; reads += 1) {
      const { told, outcome, retryAfter } = await clients.read(user, operation.promptId, least, WAIT_SECONDS);
      if (outcome !== 'ok' && retryAfter === null) return;
      if (told === 'completed') {
        answered.push(operation.promptId);
        return;
      }
    }
  }

  const timer = setInterval(() => {
    const one: Promise<void> = session().finally(() => open.delete(one));
    open.add(one);
  }, 1_000 / perSecond);
  return {
    answered,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}

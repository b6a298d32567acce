/** Users of a simulation: they ask, cancel and redrive. */
import type { EventMetadata } from '../../contracts/envelope.ts';
import { cancel, requeue } from '../../contracts/prompt/decide.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { decideAndAppend } from '../../platform/postgres/decide-and-append.ts';
import { laneNumber } from '../../platform/postgres/decision.ts';
import type { Random } from '../kit/random.ts';
import type { Clock } from './clock.ts';
import type { World } from './world.ts';

export function scheduleUser(
  clock: Clock,
  random: Random,
  world: World,
  spanMs: number,
  ids: string[],
  i: number,
): void {
  const at = random.between(0, spanMs * 0.9);
  const promptId = uuid(random);
  const retry = random.pick(['auto', 'auto', 'auto', 'cautious', 'never'] as const);
  const lane = random.pick(['interactive', 'normal', 'batch'] as const);
  const model = random.pick(['m-1', 'm-1', 'm-2']);
  const userId = random.pick(['ada', 'grace', 'ken']);
  const metadata = (causationId: string) => ({
    correlationId: promptId,
    causationId,
    traceparent: null,
    actor: `user:${userId}`,
  });
  clock.at(at, async () => {
    const expiresAt = random.chance(0.1) ? new Date(Date.now() + random.between(1_000, 120_000)).toISOString() : null;
    const notBefore = random.chance(0.1) ? new Date(Date.now() + random.between(1_000, 300_000)).toISOString() : null;
    const data = { ...submission, userId, model, retry, lane, expiresAt, notBefore, costBound: 1_000 };
    ids.push(promptId);
    await world.append({
      streamId: promptId,
      expectedVersion: 0,
      events: [{ eventId: uuid(random), type: 'PromptSubmitted', data, metadata: metadata(`ask-${i}`) }],
      outbox: { op: 'open', user: userId, model, lane: laneNumber(lane), due: notBefore, expires: expiresAt },
    });
    world.hint('ready');
    if (random.chance(0.1)) clock.at(random.between(0, 60_000), () => change('cancel', 0));
    if (random.chance(0.5)) clock.at(random.between(60_000, 600_000), () => change('redrive', 1));
  });
  const change = async (what: 'cancel' | 'redrive', nth: number): Promise<void> => {
    if (clock.now <= spanMs) await changePrompt(world, promptId, what, metadata(`${what}-${i}-${nth}`));
  };
}

export async function changePrompt(
  world: World,
  promptId: string,
  what: 'cancel' | 'redrive',
  metadata: EventMetadata,
): Promise<void> {
  const by = metadata.actor;
  try {
    const decided = await decideAndAppend({
      read: world.read,
      append: world.append,
      promptId,
      decide: (state) =>
        what === 'cancel' ? cancel(state, by) : requeue(state, by, 'again', new Date().toISOString()),
      metadata: () => metadata,
    });
    if (decided.status === 'done') world.counters[what] = (world.counters[what] ?? 0) + 1;
    world.hint(what === 'cancel' ? 'cancel' : 'ready');
  } catch {
    // Postgres is away: the user was told 503 and leaves it at that.
  }
}

const uuid = (random: Random): string => {
  const hex = (n: number) => Array.from({ length: n }, () => random.between(0, 15).toString(16)).join('');
  return `${hex(8)}-${hex(4)}-7${hex(3)}-8${hex(3)}-${hex(12)}`;
};

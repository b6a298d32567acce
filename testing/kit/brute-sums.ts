/** Statistics made the slow way: every prompt of the log folded, and added up by plain loops. */
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { type AttemptState, fold, type PromptState } from '../../contracts/prompt/state.ts';

export type Filter = {
  userId?: string;
  model?: string;
  emulated?: 'only' | 'include';
  from?: number;
  to?: number;
};

const QUARTER = 900_000;
const quarter = (ms: number) => ms - (ms % QUARTER);
const wasEmulated = ({ attempts }: PromptState): boolean => {
  const answer = attempts.find(({ end }) => end === 'answered');
  if (answer) return answer.emulated;
  return attempts.some(({ emulated }) => emulated) && !attempts.some((one) => !one.emulated && (one.nanoUsd ?? 0) > 0);
};

/** A prompt with those of its attempts that are asked about. Money goes by attempt: not `counted` is one asked about for it alone. */
export type Seen = PromptState & { counted: boolean };

const bears = ({ end, usage, nanoUsd }: AttemptState): boolean =>
  (usage !== null && usage.inputTokens + usage.outputTokens + usage.thoughtTokens > 0) ||
  (end !== 'open' && (nanoUsd === null || nanoUsd > 0));

/** Prompts as they were after the first `position` events of `log`, and what of them a question is about. */
export function promptsAt(log: RecordedEvent[], position: number, filter: Filter): Seen[] {
  const events = log.slice(0, position);
  const states = [...Map.groupBy(events, ({ streamId }) => streamId).values()].map((stream) => fold(stream)!);
  const real = events.some(
    (event) =>
      (event.type === 'PromptCompleted' || event.type === 'AttemptFailed' || event.type === 'AttemptDiscarded') &&
      !event.data.emulated &&
      (event.type === 'PromptCompleted' || (event.data.usage?.inputTokens ?? 0) > 0 || (event.data.nanoUsd ?? 0) > 0),
  );
  const isAsked = (emulated: boolean): boolean => {
    if (filter.emulated === 'include') return true;
    return filter.emulated === 'only' ? emulated : !(real && emulated);
  };
  return states
    .filter((state) => {
      const at = quarter(Date.parse(state.submittedAt));
      if (filter.userId !== undefined && state.userId !== filter.userId) return false;
      if (filter.model !== undefined && state.model !== filter.model) return false;
      if (filter.from !== undefined && at < quarter(filter.from)) return false;
      return filter.to === undefined || at < quarter(filter.to);
    })
    .map((state) => ({
      ...state,
      counted: isAsked(wasEmulated(state)),
      attempts: state.attempts.filter(({ emulated }) => isAsked(emulated)),
    }))
    .filter(({ counted, attempts }) => counted || attempts.some(bears));
}

const sum = (numbers: number[]) => numbers.reduce((total, n) => total + n, 0);

export function spendOf(seen: Seen[]) {
  const counted = seen.filter((one) => one.counted);
  const attempts = seen.flatMap((one) => one.attempts);
  const ended = attempts.filter(({ end }) => end !== 'open');
  const tokens = (name: 'inputTokens' | 'outputTokens' | 'thoughtTokens') =>
    sum(attempts.map(({ usage }) => usage?.[name] ?? 0));
  return {
    prompts: counted.length,
    completed: counted.filter(({ status }) => status === 'completed').length,
    failed: counted.filter(({ status }) => status === 'failed').length,
    inputTokens: tokens('inputTokens'),
    outputTokens: tokens('outputTokens'),
    thoughtTokens: tokens('thoughtTokens'),
    confirmed: sum(ended.map(({ end, nanoUsd }) => (end === 'answered' ? (nanoUsd ?? 0) : 0))),
    wasted: sum(ended.map(({ end, nanoUsd }) => (end === 'answered' ? 0 : (nanoUsd ?? 0)))),
    unknownBound: sum(ended.map(({ nanoUsd, boundNanoUsd }) => (nanoUsd === null ? (boundNanoUsd ?? 0) : 0))),
    unknownAttempts: ended.filter(({ nanoUsd }) => nanoUsd === null).length,
    notional: sum(ended.map(({ emulated, nanoUsd }) => (emulated ? (nanoUsd ?? 0) : 0))),
  };
}
export type Spend = ReturnType<typeof spendOf>;

/** Users, those who spent most first. */
export function byUser(seen: Seen[]): ({ userId: string } & Spend)[] {
  return [...Map.groupBy(seen, ({ userId }) => userId)]
    .map(([userId, of]) => ({ userId, ...spendOf(of) }))
    .sort(
      (a, b) =>
        b.confirmed + b.wasted - (a.confirmed + a.wasted) || b.prompts - a.prompts || (a.userId < b.userId ? -1 : 1),
    );
}

/** Milliseconds of each measure, upwards, of answered prompts. */
export function latenciesOf(seen: Seen[]) {
  const answered = seen.flatMap((state) => {
    const by = state.attempts.find(({ end }) => end === 'answered');
    return state.counted && state.status === 'completed' && by ? [{ state, by }] : [];
  });
  const ms = (from: string | null, to: string | null) => Date.parse(to!) - Date.parse(from!);
  const sorted = (numbers: number[]) => numbers.sort((a, b) => a - b);
  return {
    queue_wait: sorted(answered.map(({ state }) => ms(state.submittedAt, state.startedAt))),
    model_time: sorted(answered.map(({ by }) => ms(by.startedAt, by.endedAt))),
    total: sorted(answered.map(({ state }) => ms(state.submittedAt, state.finishedAt))),
  };
}

/** From the states before and the events of a batch to the rows to write. Pure. */
import type { PlacedEvent } from '../../../contracts/envelope.ts';
import { contributionsOf, type UsageKey, usedRealKey } from '../../../contracts/prompt/contribution.ts';
import { createDeltas, sorted, type UsageDelta } from '../../../contracts/prompt/deltas.ts';
import { packState, type StateRow } from '../../../contracts/prompt/packed-state.ts';
import { isEmulated } from '../../../contracts/prompt/spend.ts';
import { evolve, type PromptState } from '../../../contracts/prompt/state.ts';
import { PoisonEventError } from '../../poison-event.ts';

/** As it is stored, but for the state. */
export type PromptRow = Omit<StateRow, 'state'> & { emulated: boolean; state: PromptState };
export type TextRow = {
  prompt_id: string;
  user_id: string;
  prompt: string;
  answer: string | null;
  encoding: string;
  submitted_at: string;
};
export type AnswerRow = { prompt_id: string; answer: string; encoding: string };

/** Rows of each table, in key order: two writers lock in the same order. */
export type BatchRows = {
  prompts: PromptRow[];
  texts: TextRow[];
  answers: AnswerRow[];
  usage: UsageDelta[];
  /** Of sums that prompts, or anything at all, were only taken from: their rows may be empty now. */
  emptied: UsageKey[];
  /** Where a real key was first used, in this batch. */
  realUse: number | null;
};

/** How an event is folded: as it is on record, or e.g. at other prices; `before` is the state folded so. Pure. */
export type Reading = (before: PromptState | null, event: PlacedEvent) => PromptState;

export function foldBatch(
  before: ReadonlyMap<string, PromptState>,
  events: PlacedEvent[],
  read: Reading = evolve,
): BatchRows {
  const after = new Map<string, PromptState>();
  const texts = new Map<string, TextRow>();
  const answers = new Map<string, AnswerRow>();
  let realUse: number | null = null;
  for (const event of events) {
    const { streamId } = event;
    try {
      const former = after.get(streamId) ?? before.get(streamId) ?? null;
      after.set(streamId, read(former, event));
    } catch (error) {
      throw new PoisonEventError(event, error);
    }
    if (realUse === null && usedRealKey(event)) realUse = event.position;
    if (event.type === 'PromptSubmitted') {
      texts.set(streamId, {
        prompt_id: streamId,
        user_id: event.data.userId,
        prompt: event.data.prompt,
        answer: null,
        encoding: 'plain',
        submitted_at: event.recordedAt,
      });
    } else if (event.type === 'PromptCompleted') {
      const { answer, encoding } = event.data;
      const text = texts.get(streamId);
      if (text) Object.assign(text, { answer, encoding });
      else answers.set(streamId, { prompt_id: streamId, answer, encoding });
    }
  }
  const deltas = createDeltas();
  for (const [streamId, state] of after) {
    const former = before.get(streamId);
    if (former) deltas.add(contributionsOf(former), -1);
    deltas.add(contributionsOf(state), 1);
  }
  return {
    prompts: sorted([...after.values()].map(toRow), (row) => row.prompt_id),
    texts: sorted([...texts.values()], (row) => row.prompt_id),
    answers: sorted([...answers.values()], (row) => row.prompt_id),
    usage: deltas.usage(),
    emptied: deltas.emptied(),
    realUse,
  };
}

export const toStored = ({ state, ...row }: PromptRow): StateRow => ({ ...row, state: packState(state) });

const toRow = (state: PromptState): PromptRow => ({
  prompt_id: state.promptId,
  user_id: state.userId,
  status: state.status,
  model: state.model,
  conversation_id: state.conversationId,
  emulated: isEmulated(state),
  submitted_at: state.submittedAt,
  submitted_position: state.submittedPosition,
  position: state.position,
  state,
});

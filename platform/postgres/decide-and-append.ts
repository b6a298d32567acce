/** The loop every decision runs in: read the stream, decide, append at the version read; refused → from the start. */
import type { EventMetadata, RecordedEvent } from '../../contracts/envelope.ts';
import { type Decision, isRefusal, type Refusal } from '../../contracts/prompt/decide.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import type { AppendEvents } from './append.ts';
import { type OutboxTerms, toAppend } from './decision.ts';

export type Decided =
  | { status: 'done'; decision: Decision; position: number; recordedAt: string }
  | { status: 'refused'; reason: Refusal['refused'] }
  | { status: 'missing' }
  /** It has left the log: it had ended for good, and nothing was to be added to it any more. */
  | { status: 'archived' }
  /** The stream or the row changed under every try: somebody else is busy with it. */
  | { status: 'contended' };

/** A prompt with the events it was folded from; null when there is no such stream. */
export type ReadPrompt = (promptId: string) => Promise<{ state: PromptState; events: RecordedEvent[] } | null>;

export type DecideOptions = {
  read: ReadPrompt;
  /** Of a stream that is not there; for those who may be told of a prompt long after its end. */
  isArchived?: (promptId: string) => Promise<boolean>;
  append: AppendEvents;
  promptId: string;
  decide: (state: PromptState) => Decision | Refusal;
  metadata: (state: PromptState) => EventMetadata;
  terms?: OutboxTerms;
  /** Known from before; read when absent, and anew after a conflict. */
  state?: PromptState | null;
  tries?: number;
};

export async function decideAndAppend(options: DecideOptions): Promise<Decided> {
  let state = options.state ?? null;
  for (let left = options.tries ?? 10; left > 0; left -= 1) {
    state ??= (await options.read(options.promptId))?.state ?? null;
    if (!state) return { status: (await options.isArchived?.(options.promptId)) ? 'archived' : 'missing' };
    const decision = options.decide(state);
    if (isRefusal(decision)) return { status: 'refused', reason: decision.refused };
    const metadata = options.metadata(state);
    const result = await options.append(toAppend(state, decision, metadata, options.terms));
    if (result.status === 'appended') {
      return { status: 'done', decision, position: result.position, recordedAt: result.recordedAt };
    }
    // Ours, from a call whose reply was lost; anybody else's leads to a refusal on the next reading.
    if (result.status === 'duplicate' && result.metadata.causationId === metadata.causationId) {
      // What is told is the first of the events; they were written together, so the last one's place follows.
      const position = result.position + decision.events.length - 1;
      return { status: 'done', decision, position, recordedAt: result.recordedAt };
    }
    state = null;
  }
  return { status: 'contended' };
}

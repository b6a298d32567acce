/** given events → when a decision → then events: the form in which the prompt's rules are told and tested. */
import type { RecordedEvent } from '../envelope.ts';
import type { Decision, NewEvent, Refusal } from './decide.ts';
import type { EventData, PromptEvent } from './events.ts';
import { fold, type PromptState } from './state.ts';

export const PROMPT_ID = '01900000-0000-7000-8000-000000000001';
const START = Date.parse('2026-01-01T00:00:00.000Z');

export const submission: EventData<'PromptSubmitted'> = {
  userId: 'ada',
  model: 'gemini-2.5-flash',
  prompt: 'why is the sky blue?',
  system: null,
  temperature: null,
  maxOutputTokens: null,
  mode: 'answer',
  lane: 'normal',
  retry: 'auto',
  conversationId: null,
  notBefore: null,
  expiresAt: null,
  metadata: {},
  costBound: 1_000,
  priceVersion: 'test@1',
};

/** Gives events their places: one second apart, versions and positions from `after`. */
export function record(events: (PromptEvent | NewEvent)[], after = 0): RecordedEvent[] {
  return events.map((event, i) => {
    const { type, data } = event;
    const place = after + i + 1;
    return {
      type,
      data,
      position: place,
      version: place,
      streamId: PROMPT_ID,
      eventId: `event-${place}`,
      schemaVersion: 1,
      metadata: { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' },
      recordedAt: new Date(START + place * 1_000).toISOString(),
    } as RecordedEvent;
  });
}

export const submitted = (over: Partial<typeof submission> = {}): PromptEvent => ({
  type: 'PromptSubmitted',
  data: { ...submission, ...over },
});

export function given(...events: (PromptEvent | NewEvent)[]): PromptState {
  const state = fold(record(events));
  if (!state) throw new Error('given needs at least PromptSubmitted');
  return state;
}

/** The state after a decision; a refusal leaves it. */
export function apply(state: PromptState, decision: Decision | Refusal): PromptState {
  if ('refused' in decision) return state;
  return fold(record(decision.events, state.version), state) ?? state;
}

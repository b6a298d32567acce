/** Cancel and redrive: decisions on a prompt that its owner, or an admin, asks for. */
import { cancel, correctCost, type Decision, type Refusal, requeue } from '../contracts/prompt/decide.ts';
import type { PromptState } from '../contracts/prompt/state.ts';
import type { Appender } from '../platform/postgres/appender.ts';
import { decideAndAppend, type ReadPrompt } from '../platform/postgres/decide-and-append.ts';
import { within } from '../platform/within.ts';

export type ChangeContext = {
  promptId: string;
  userId: string;
  isAdmin: boolean;
  requestId: string;
  traceparent: string | null;
  /** Milliseconds in which it must be answered. */
  withinMs: number;
};

export type ChangeResult =
  | { status: 'done'; state: PromptState; position: number }
  /** There is none, or it is somebody else's: not told apart. */
  | { status: 'not_found' }
  | { status: 'wrong_state'; state: PromptState; reason: Refusal['refused'] }
  | { status: 'contended' };

/** What the API calls it when nothing was changed. */
export function refusalCode(
  result: Exclude<ChangeResult, { status: 'done' }>,
): 'not_found' | 'expired' | 'wrong_state' | 'unavailable' {
  switch (result.status) {
    case 'not_found':
      return 'not_found';
    case 'wrong_state':
      return result.reason === 'expired' ? 'expired' : 'wrong_state';
    case 'contended':
      return 'unavailable';
  }
}

export type ChangePrompt = {
  cancel: (context: ChangeContext) => Promise<ChangeResult>;
  retry: (context: ChangeContext, reason: string | null) => Promise<ChangeResult>;
  /** Of an attempt that has ended; the amount on record already is `wrong_state` with reason `recorded`. */
  correctCost: (
    context: ChangeContext,
    correction: { attempt: number; nanoUsd: number; reason: string },
  ) => Promise<ChangeResult>;
};

export type ChangeOptions = { read: ReadPrompt; append: Appender['appendWithin']; now: () => Date };

export function createChangePrompt(options: ChangeOptions): ChangePrompt {
  async function change(
    context: ChangeContext,
    decide: (state: PromptState) => Decision | Refusal,
  ): Promise<ChangeResult> {
    const { promptId, requestId, traceparent, userId } = context;
    const answerBy = performance.now() + context.withinMs;
    const left = () => Math.max(0, answerBy - performance.now());
    const read: ReadPrompt = (id) => within(left(), options.read(id));
    const found = await read(promptId);
    if (!found || (found.state.userId !== userId && !context.isAdmin)) return { status: 'not_found' };
    let state = found.state;
    const decided = await decideAndAppend({
      read,
      append: (one) => options.append(one, left()),
      promptId,
      state,
      decide: (current) => {
        state = current;
        return decide(current);
      },
      metadata: () => ({
        correlationId: found.events[0]?.metadata.correlationId ?? promptId,
        causationId: requestId,
        traceparent,
        actor: `user:${userId}`,
      }),
    });
    switch (decided.status) {
      case 'done':
        return { status: 'done', state, position: decided.position };
      case 'refused':
        return { status: 'wrong_state', state, reason: decided.reason };
      case 'missing':
        return { status: 'not_found' };
      case 'contended':
        return { status: 'contended' };
    }
  }

  return {
    cancel: (context) => change(context, (state) => cancel(state, `user:${context.userId}`)),
    retry: (context, reason) =>
      change(context, (state) => requeue(state, `user:${context.userId}`, reason, options.now().toISOString())),
    correctCost: (context, correction) =>
      change(context, (state) => correctCost(state, { ...correction, by: `user:${context.userId}` })),
  };
}

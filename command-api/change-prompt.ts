/** Cancel and redrive: decisions on a prompt that its owner, or an admin, asks for. */
import { cancel, correctCost, type Decision, type Refusal, requeue } from '../contracts/prompt/decide.ts';
import type { PromptState, PromptStatus } from '../contracts/prompt/state.ts';
import type { Appender } from '../platform/postgres/appender.ts';
import type { ArchivedPrompt } from '../platform/postgres/archived.ts';
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
  /** It has left the log. `archived`: or else it could be done. */
  | { status: 'archived'; is: PromptStatus; reason: Refusal['refused'] | 'archived' }
  | { status: 'contended' };

/** What the API calls it when nothing was changed. */
export function refusalCode(
  result: Exclude<ChangeResult, { status: 'done' }>,
): 'not_found' | 'expired' | 'wrong_state' | 'archived' | 'unavailable' {
  switch (result.status) {
    case 'not_found':
      return 'not_found';
    case 'wrong_state':
      return result.reason === 'expired' ? 'expired' : 'wrong_state';
    case 'archived':
      return result.reason === 'expired' || result.reason === 'archived' ? result.reason : 'wrong_state';
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

export type ChangeOptions = {
  read: ReadPrompt;
  /** Of prompts that `read` does not find. */
  findArchived: (promptId: string) => Promise<ArchivedPrompt | null>;
  append: Appender['appendWithin'];
  /** The server's time. */
  now: () => Date;
};

export function createChangePrompt(options: ChangeOptions): ChangePrompt {
  async function change(
    context: ChangeContext,
    decide: (state: PromptState) => Decision | Refusal,
    /** Why not, of a prompt that has left the log: it had ended for good, and is answered as when its stream was there. */
    refusedWhen: (is: PromptStatus) => Refusal['refused'] | 'archived',
  ): Promise<ChangeResult> {
    const { promptId, requestId, traceparent, userId } = context;
    const answerBy = performance.now() + context.withinMs;
    const left = () => Math.max(0, answerBy - performance.now());
    const read: ReadPrompt = (id) => within(left(), options.read(id));
    const found = await read(promptId);
    const mayChange = (owner: string) => owner === userId || context.isAdmin;
    const withoutStream = async (): Promise<ChangeResult> => {
      const archived = await within(left(), options.findArchived(promptId));
      if (!archived || !mayChange(archived.userId)) return { status: 'not_found' };
      return { status: 'archived', is: archived.status, reason: refusedWhen(archived.status) };
    };
    if (!found) return withoutStream();
    if (!mayChange(found.state.userId)) return { status: 'not_found' };
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
      case 'archived':
        return withoutStream();
      case 'contended':
        return { status: 'contended' };
    }
  }

  return {
    cancel: (context) =>
      change(
        context,
        (state) => cancel(state, `user:${context.userId}`),
        () => 'terminal',
      ),
    retry: (context, reason) =>
      change(
        context,
        (state) => requeue(state, `user:${context.userId}`, reason, options.now().toISOString()),
        (is) => (is === 'failed' ? 'expired' : 'not_failed'),
      ),
    correctCost: (context, correction) =>
      change(
        context,
        (state) => correctCost(state, { ...correction, by: `user:${context.userId}` }),
        () => 'archived',
      ),
  };
}

/** Background interactions, in the form the worker will need them: create → queued → in_progress → completed by time. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { answerTo } from './answer.ts';
import { type Behaviour, DirectiveError, directiveOf } from './behaviour.ts';
import type { BillingLog } from './billing.ts';
import { EMULATED, refuse } from './respond.ts';

type Interaction = {
  id: string;
  model: string;
  prompt: string;
  createdAt: number;
  behaviour: Behaviour;
  cancelled: boolean;
  entry: ReturnType<BillingLog['open']>;
};

const PATH = /^\/v1(?:beta|alpha)?\/interactions(?:\/([\w-]+)(?:\/(cancel))?)?$/;

export function createInteractions(billing: BillingLog) {
  const interactions = new Map<string, Interaction>();

  function charge({ cancelled, entry, model, prompt, behaviour }: Interaction): void {
    if (!cancelled) billing.charge(entry, answerTo(model, prompt, undefined, behaviour).usage);
  }

  function cancel(interaction: Interaction): void {
    const { createdAt, behaviour } = interaction;
    if (Date.now() - createdAt < (behaviour.delayMs ?? 0)) interaction.cancelled = true;
  }

  function view(interaction: Interaction): object {
    const { id, model, prompt, behaviour, createdAt, cancelled } = interaction;
    const elapsed = Date.now() - createdAt;
    const delay = behaviour.delayMs ?? 0;
    const status = cancelled
      ? 'cancelled'
      : elapsed < delay / 2
        ? 'queued'
        : elapsed < delay
          ? 'in_progress'
          : 'completed';
    if (status !== 'completed') return { id, model, status };
    const answer = answerTo(model, prompt, undefined, behaviour);
    charge(interaction);
    const usage = {
      total_input_tokens: answer.usage.promptTokenCount,
      total_output_tokens: answer.usage.candidatesTokenCount,
      total_tokens: answer.usage.totalTokenCount,
    };
    return { id, model, status, outputs: [{ type: 'text', text: answer.text }], usage };
  }

  return {
    handles: (path: string): boolean => PATH.test(path),
    handle: (request: IncomingMessage, response: ServerResponse, path: string, body: unknown): void => {
      const [, id, action] = PATH.exec(path) ?? [];
      const answer = (value: object) => {
        response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8', ...EMULATED });
        response.end(JSON.stringify(value));
      };
      if (!id) {
        const { model = 'unknown', input = '' } = body as { model?: string; input?: string };
        const attemptId = request.headers['x-attempt-id'];
        const entry = billing.open(model, typeof attemptId === 'string' ? attemptId : null);
        let behaviour: Behaviour;
        try {
          behaviour = directiveOf(input) ?? {};
        } catch (error) {
          if (!(error instanceof DirectiveError)) throw error;
          entry.status = 400;
          refuse(response, { code: 400, status: 'INVALID_ARGUMENT', message: error.message });
          return;
        }
        const interaction: Interaction = {
          id: randomUUID(),
          model,
          prompt: input,
          createdAt: Date.now(),
          behaviour,
          cancelled: false,
          entry,
        };
        interactions.set(interaction.id, interaction);
        // What is completed is charged, whether or not anybody asks for it.
        setTimeout(() => charge(interaction), behaviour.delayMs ?? 0).unref();
        answer(view(interaction));
        return;
      }
      const found = interactions.get(id);
      if (!found) {
        refuse(response, { code: 404, status: 'NOT_FOUND', message: `There is no interaction ${id}.` });
      } else if (request.method === 'DELETE') {
        cancel(found);
        interactions.delete(id);
        answer({});
      } else {
        if (action === 'cancel') cancel(found);
        answer(view(found));
      }
    },
  };
}

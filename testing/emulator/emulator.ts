/** A local server that speaks Gemini's REST protocol, for development, tests and demonstrations; it says so in every answer. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerTo, tokensOf } from './answer.ts';
import { type Behaviour, checkBehaviour, DirectiveError, directiveOf, faultOf } from './behaviour.ts';
import { type BillingLog, createBillingLog } from './billing.ts';
import { createInteractions } from './interactions.ts';
import { EMULATED, refuse, respond } from './respond.ts';

export type Emulator = {
  url: string;
  port: number;
  billing: BillingLog;
  /** What every call does whose prompt has no directive of its own. */
  setBehaviour: (behaviour: Behaviour) => void;
  close: () => Promise<void>;
};

export type EmulatorOptions = { port?: number; behaviour?: Behaviour };

const BODY_LIMIT = 20_000_000;
/** Prompts whose calls are counted, for `times` and `faults`. */
const COUNTED_PROMPTS = 100_000;

type GenerateBody = {
  contents?: { parts?: { text?: string }[] }[];
  systemInstruction?: { parts?: { text?: string }[] };
  generationConfig?: { maxOutputTokens?: number };
};

export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const billing = createBillingLog();
  const interactions = createInteractions(billing);
  const callsOf = new Map<string, number>();
  const pauses = new Set<() => void>();
  let behaviour: Behaviour = options.behaviour ?? {};
  let closing = false;

  const server = createServer((request, response) => {
    route(request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) response.destroy();
      else refuse(response, { code: 500, status: 'INTERNAL', message: `the emulator itself failed: ${String(error)}` });
    });
  });

  // As the front ends of providers, which keep connections for minutes: a client's call must not meet one that is being closed.
  server.keepAliveTimeout = 0;

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0]!;
    if (path.startsWith('/emulator/')) return control(request, response, path);
    const [, model, method] = /^\/v1(?:beta|alpha)?\/models\/([^/:]+):(\w+)$/.exec(path) ?? [];
    const body = await readBody(request);
    if (body === null)
      return refuse(response, { code: 400, status: 'INVALID_ARGUMENT', message: 'The body is not JSON.' });
    if (!request.headers['x-goog-api-key'])
      return refuse(response, {
        code: 403,
        status: 'PERMISSION_DENIED',
        message: 'Method doesn’t allow unregistered callers.',
      });
    if (interactions.handles(path)) return interactions.handle(request, response, path, body);
    if (!model || request.method !== 'POST')
      return refuse(response, { code: 404, status: 'NOT_FOUND', message: `There is no ${path}.` });
    switch (method) {
      case 'generateContent':
        return generate(request, response, model, body as GenerateBody, false);
      case 'streamGenerateContent':
        return generate(request, response, model, body as GenerateBody, true);
      case 'countTokens':
        return json(response, { totalTokens: tokensOf(promptOf(body as GenerateBody)) });
      default:
        return refuse(response, { code: 404, status: 'NOT_FOUND', message: `There is no method ${method}.` });
    }
  }

  async function generate(
    request: IncomingMessage,
    response: ServerResponse,
    model: string,
    body: GenerateBody,
    stream: boolean,
  ): Promise<void> {
    const prompt = promptOf(body);
    const attemptId = request.headers['x-attempt-id'];
    const entry = billing.open(model, typeof attemptId === 'string' ? attemptId : null);
    let chosen: Behaviour;
    try {
      chosen = directiveOf(prompt) ?? behaviour;
    } catch (error) {
      if (!(error instanceof DirectiveError)) throw error;
      entry.status = 400;
      return refuse(response, { code: 400, status: 'INVALID_ARGUMENT', message: error.message });
    }
    const answer = answerTo(model, prompt, body.generationConfig?.maxOutputTokens, chosen);
    const fault = faultOf(chosen, countCall(`${model}\n${prompt}`));
    entry.fault = fault;
    response.on('close', () => {
      entry.clientLeft = !response.writableFinished;
      entry.status = response.headersSent ? response.statusCode : 0;
    });
    const pause = pauser(response);
    // A model that thinks runs, and is charged, though its client leaves meanwhile; a refusal comes before it runs.
    if (!(await pause(chosen.delayMs ?? 0))) {
      if (!closing && !fault) billing.charge(entry, answer.usage);
      return;
    }
    await respond(
      {
        request,
        response,
        model,
        stream,
        answer,
        behaviour: chosen,
        charge: (usage) => billing.charge(entry, usage),
        pause,
      },
      fault,
    );
  }

  function countCall(key: string): number {
    const count = (callsOf.get(key) ?? 0) + 1;
    if (callsOf.size >= COUNTED_PROMPTS) callsOf.delete(callsOf.keys().next().value!);
    callsOf.set(key, count);
    return count;
  }

  /** False when the client left, or the emulator stops, before the time was over. */
  const pauser =
    (response: ServerResponse) =>
    (ms: number): Promise<boolean> => {
      if (ms === 0) return Promise.resolve(!response.destroyed);
      return new Promise((resolve) => {
        const end = () => {
          clearTimeout(timer);
          pauses.delete(end);
          response.off('close', end);
          resolve(!response.destroyed && !closing);
        };
        const timer = setTimeout(end, ms);
        pauses.add(end);
        response.on('close', end);
      });
    };

  async function control(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    switch (`${request.method} ${path}`) {
      case 'GET /emulator/health':
        return json(response, { status: 'ok', emulator: true });
      case 'GET /emulator/billing':
        return json(response, { totals: billing.totals(), entries: billing.entries() });
      case 'DELETE /emulator/billing':
        billing.clear();
        return json(response, {});
      case 'GET /emulator/behaviour':
        return json(response, behaviour);
      case 'PUT /emulator/behaviour':
        try {
          behaviour = checkBehaviour(await readBody(request));
        } catch (error) {
          if (!(error instanceof DirectiveError)) throw error;
          return refuse(response, { code: 400, status: 'INVALID_ARGUMENT', message: error.message });
        }
        return json(response, behaviour);
      case 'DELETE /emulator/behaviour':
        behaviour = {};
        return json(response, behaviour);
      default:
        return refuse(response, { code: 404, status: 'NOT_FOUND', message: `There is no ${request.method} ${path}.` });
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    billing,
    setBehaviour: (next) => {
      behaviour = checkBehaviour(next);
    },
    close: async () => {
      closing = true;
      for (const end of [...pauses]) end();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function promptOf(body: GenerateBody): string {
  return (body.contents ?? [])
    .flatMap((content) => content.parts ?? [])
    .map((part) => part.text ?? '')
    .join('');
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8', ...EMULATED });
  response.end(JSON.stringify(value));
}

/** Null when it is not JSON, or larger than any request. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > BODY_LIMIT) return null;
    pieces.push(piece);
  }
  if (size === 0) return {};
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

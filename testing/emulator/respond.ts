/** Writes an answer, or a fault, the way Gemini does; streamed or at once. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './answer.ts';
import type { Behaviour } from './behaviour.ts';
import type { Fault } from './faults.ts';

export type Call = {
  request: IncomingMessage;
  response: ServerResponse;
  model: string;
  stream: boolean;
  answer: Answer;
  behaviour: Behaviour;
  /** The model ran, and that is what it used. */
  charge: (usage: Answer['usage']) => void;
  /** Resolves early, to false, when the client left or the emulator stops. */
  pause: (ms: number) => Promise<boolean>;
};

export const EMULATED = { 'x-emulated': 'true' };

type GoogleError = { code: number; status: string; message: string; details?: unknown[] };

/** Every refusal says what it comes from. */
export function refuse(response: ServerResponse, { code, status, message, details }: GoogleError): void {
  const error = { code, message: `${message} (emulated)`, status, ...(details && { details }) };
  response.writeHead(code, { 'content-type': 'application/json; charset=UTF-8', ...EMULATED });
  response.end(JSON.stringify({ error }));
}

const UNAVAILABLE: GoogleError = { code: 503, status: 'UNAVAILABLE', message: 'The model is overloaded.' };
const detail = (type: string, body: object) => ({ '@type': `type.googleapis.com/google.rpc.${type}`, ...body });

/** Faults that are an HTTP status: nothing ran, nothing is charged. */
export function refusalOf(fault: Fault, behaviour: Behaviour, model: string): GoogleError | null {
  switch (fault) {
    case '429':
      return {
        code: 429,
        status: 'RESOURCE_EXHAUSTED',
        message: 'Quota exceeded for this minute.',
        details: [detail('RetryInfo', { retryDelay: behaviour.retryDelay ?? '1.5s' })],
      };
    case '429-daily': {
      const quotaId = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier';
      return {
        code: 429,
        status: 'RESOURCE_EXHAUSTED',
        message: 'Quota exceeded for this day.',
        details: [detail('QuotaFailure', { violations: [{ quotaId }] }), detail('RetryInfo', { retryDelay: '1.5s' })],
      };
    }
    case '429-bare':
      return { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Resource has been exhausted.' };
    case '429-spend':
      return {
        code: 429,
        status: 'RESOURCE_EXHAUSTED',
        message: 'Your project has exceeded its monthly spending cap.',
      };
    case '402':
      return { code: 402, status: 'FAILED_PRECONDITION', message: 'Your prepayment credits are depleted.' };
    case '500':
      return { code: 500, status: 'INTERNAL', message: 'An internal error has occurred.' };
    case '503':
      return UNAVAILABLE;
    case '504':
      return { code: 504, status: 'DEADLINE_EXCEEDED', message: 'Deadline expired before operation could complete.' };
    case 'bad-key':
      return {
        code: 400,
        status: 'INVALID_ARGUMENT',
        message: 'API key not valid.',
        details: [detail('ErrorInfo', { reason: 'API_KEY_INVALID', domain: 'googleapis.com' })],
      };
    case '403':
      return { code: 403, status: 'PERMISSION_DENIED', message: 'The caller does not have permission.' };
    case '404':
      return { code: 404, status: 'NOT_FOUND', message: `models/${model} is not found.` };
    default:
      return null;
  }
}

type Usage = Partial<Answer['usage']>;

function body(call: Call, text: string | null, finishReason: string | null, usage: Usage | undefined): object {
  const content = text === null ? { role: 'model' } : { role: 'model', parts: [{ text }] };
  return {
    candidates: [{ content, ...(finishReason && { finishReason }), index: 0 }],
    ...(usage && { usageMetadata: usage }),
    modelVersion: `${call.model}-emulated`,
    responseId: call.answer.responseId,
  };
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\r\n\r\n`;
const JSON_HEADERS = { 'content-type': 'application/json; charset=UTF-8', ...EMULATED };
const SSE_HEADERS = { 'content-type': 'text/event-stream', ...EMULATED };

const WITHOUT_TEXT = new Set<Fault>([
  'empty',
  'blocked',
  'safety',
  'recitation',
  'prohibited',
  'spii',
  'unknown-finish',
  'max-tokens-empty',
]);

/** What the model used when it ran into `fault`: without text nothing was written, though perhaps thought. */
function usedBy(usage: Answer['usage'], fault: Fault | null): Answer['usage'] {
  if (!fault || !WITHOUT_TEXT.has(fault)) return usage;
  const thoughtsTokenCount = fault === 'max-tokens-empty' ? 100 : usage.thoughtsTokenCount;
  return {
    ...usage,
    candidatesTokenCount: 0,
    thoughtsTokenCount,
    totalTokenCount: usage.promptTokenCount + thoughtsTokenCount,
  };
}

/** The whole answer as one body, with what a fault changes in it. */
function finalBody(call: Call, fault: Fault | null): object {
  const { text, finishReason } = call.answer;
  const usage = usedBy(call.answer.usage, fault);
  switch (fault) {
    case 'empty':
      return { usageMetadata: usage, modelVersion: `${call.model}-emulated` };
    case 'blocked':
      return {
        promptFeedback: { blockReason: 'SAFETY' },
        usageMetadata: usage,
        modelVersion: `${call.model}-emulated`,
      };
    case 'safety':
      return body(call, null, 'SAFETY', usage);
    case 'recitation':
      return body(call, null, 'RECITATION', usage);
    case 'prohibited':
      return body(call, null, 'PROHIBITED_CONTENT', usage);
    case 'spii':
      return body(call, null, 'SPII', usage);
    case 'unknown-finish':
      return body(call, null, 'SOMETHING_NEW', usage);
    case 'max-tokens':
      return body(call, text, 'MAX_TOKENS', usage);
    case 'max-tokens-empty':
      return body(call, null, 'MAX_TOKENS', usage);
    case 'no-usage':
      return body(call, text, finishReason, undefined);
    case 'negative-usage':
      return body(call, text, finishReason, { ...usage, candidatesTokenCount: -5 });
    case 'huge-usage':
      return body(call, text, finishReason, { ...usage, candidatesTokenCount: 1e15 });
    case 'shrinking-usage':
      return body(call, text, finishReason, { ...usage, candidatesTokenCount: 0 });
    case 'nul-text':
      return body(call, `${text} \u0000 \ud800`, finishReason, usage);
    default:
      return body(call, text, finishReason, usage);
  }
}

const ENDS_EARLY = new Set<Fault>([
  'hang-body',
  'reset-body',
  'cut-at-event',
  'cut-in-event',
  'error-appended',
  'error-as-data',
  'bad-json',
  'malformed',
]);

export async function respond(call: Call, fault: Fault | null): Promise<void> {
  const { response, request, stream } = call;
  if (fault === 'hang') {
    call.charge(call.answer.usage);
    return;
  }
  if (fault === 'reset') {
    call.charge(call.answer.usage);
    request.socket.resetAndDestroy();
    return;
  }
  if (fault === '503-html') {
    response.writeHead(503, { 'content-type': 'text/html', ...EMULATED });
    response.end('<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>');
    return;
  }
  const refusal = fault && refusalOf(fault, call.behaviour, call.model);
  if (refusal) {
    refuse(response, refusal);
    return;
  }
  call.charge(usedBy(call.answer.usage, fault));
  if (fault && ENDS_EARLY.has(fault)) {
    await endEarly(call, fault);
    return;
  }
  if (!stream) {
    response.writeHead(200, JSON_HEADERS);
    response.end(JSON.stringify(finalBody(call, fault)));
    return;
  }
  await streamAnswer(call, fault);
}

async function streamAnswer(call: Call, fault: Fault | null): Promise<void> {
  const { response, answer, behaviour } = call;
  const pieces = split(answer.text, fault === 'shrinking-usage' ? 2 : (behaviour.chunks ?? 1));
  response.writeHead(200, SSE_HEADERS);
  for (const [i, piece] of pieces.slice(0, -1).entries()) {
    const part = Math.floor((answer.usage.candidatesTokenCount * (i + 1)) / pieces.length);
    response.write(event(body(call, piece, null, { ...answer.usage, candidatesTokenCount: Math.max(part, 1) })));
    if (!(await call.pause(behaviour.chunkDelayMs ?? 0))) return;
  }
  response.end(event(finalBody({ ...call, answer: { ...answer, text: pieces.at(-1) ?? '' } }, fault)));
}

async function endEarly(call: Call, fault: Fault): Promise<void> {
  const { response, request, stream, answer } = call;
  const first = event(body(call, answer.text.slice(0, 10), null, { ...answer.usage, candidatesTokenCount: 1 }));
  response.writeHead(200, stream ? SSE_HEADERS : JSON_HEADERS);
  response.write(stream && fault !== 'malformed' ? first : '{"candidates":[{"content":');
  // A pause lets the first piece leave in a packet of its own.
  if (!(await call.pause(20))) return;
  switch (fault) {
    case 'hang-body':
      return;
    case 'reset-body':
      request.socket.resetAndDestroy();
      return;
    case 'cut-in-event':
      response.end('data: {"candidates":[{"cont');
      return;
    case 'error-appended':
      response.end(JSON.stringify({ error: UNAVAILABLE }));
      return;
    case 'error-as-data':
      response.end(event({ error: UNAVAILABLE }));
      return;
    case 'bad-json':
      response.end('data: {not json}\r\n\r\n');
      return;
    default:
      response.end();
  }
}

function split(text: string, pieces: number): string[] {
  const size = Math.max(1, Math.ceil(text.length / Math.max(1, pieces)));
  const parts: string[] = [];
  for (let i = 0; i < text.length; i += size) parts.push(text.slice(i, i + size));
  return parts.length > 0 ? parts : [''];
}

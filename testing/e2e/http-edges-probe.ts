/** Sends odd requests, holds every refusal to the form of a problem, and counts what was accepted. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type HttpErrorCode, httpErrors } from '../../contracts/errors.ts';
import type { Problem } from '../../contracts/http/problem.ts';
import type { TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

export type Answer = { status: number; header: (name: string) => string | null; text: string; body: Body };
type Body = Partial<Problem> & { id?: string; position?: number };
export type Sent = { body?: BodyInit; headers?: Record<string, string>; key?: string | null };

export type Probe = {
  send: (method: string, path: string, sent?: Sent) => Promise<Answer>;
  ask: (body: BodyInit, headers?: Record<string, string>) => Promise<Answer>;
  fields: (fields: object) => Promise<Answer>;
  open: () => Socket;
  /** Every answer on one connection, which the server is expected to end. */
  say: (...pieces: string[]) => Promise<Answer[]>;
  /** The log holds one command for each 202, and every prompt of them has ended. */
  settle: () => Promise<void>;
  accepted: { ids: string[]; changes: number };
};

export const pointers = (answer: Answer): string[] => [
  ...new Set((answer.body.errors ?? []).map(({ pointer }) => pointer).sort()),
];

export function isProblem(answer: Answer, what = ''): void {
  const said = `${what} ${answer.status} ${answer.text.slice(0, 300)}`;
  assert.equal(answer.header('content-type'), 'application/problem+json; charset=utf-8', said);
  const { code, status, title, retryable, requestId, errors, detail } = answer.body;
  assert.ok(code && Object.hasOwn(httpErrors, code), said);
  assert.deepEqual({ status, title, retryable }, httpErrors[code as HttpErrorCode], said);
  assert.equal(status, answer.status, said);
  assert.match(requestId ?? '', /^[\w.:-]{1,128}$/, said);
  assert.equal(requestId, answer.header('x-request-id'), said);
  for (const { pointer, message } of errors ?? []) {
    assert.equal(typeof pointer, 'string', said);
    assert.ok(message.length > 0, said);
  }
  assert.doesNotMatch(`${detail}`, /\bat .*\.[jt]s:\d|node_modules|SELECT /, said);
}

export function createProbe(stack: TestStack, key: string): Probe {
  const accepted: Probe['accepted'] = { ids: [], changes: 0 };
  const { hostname, port } = new URL(stack.address);

  /** Whatever the request was, what is said of it has its form. */
  function record(answer: Answer, isAsk: boolean, what: string): Answer {
    assert.notEqual(answer.status, 500, `${what} ${answer.text}`);
    if (answer.status >= 400) isProblem(answer, what);
    if (answer.status === 202) {
      if (!isAsk) accepted.changes += 1;
      else if (answer.header('idempotency-replayed') === null) accepted.ids.push(answer.body.id!);
    }
    return answer;
  }

  const send: Probe['send'] = async (method, path, { body, headers = {}, key: other = key } = {}) => {
    const response = await fetch(`${stack.address}${path}`, {
      method,
      headers: { ...(other !== null && { authorization: `Bearer ${other}` }), ...headers },
      ...(body !== undefined && { body }),
      ...(body instanceof ReadableStream && { duplex: 'half' as const }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
    const answer: Answer = {
      status: response.status,
      header: (name) => response.headers.get(name),
      text,
      body: isJson ? (JSON.parse(text) as Body) : {},
    };
    // An answer to HEAD has no body to hold to anything.
    return method === 'HEAD' ? answer : record(answer, path === '/ask', `${method} ${path}`);
  };
  const ask: Probe['ask'] = (body, headers = {}) =>
    send('POST', '/ask', { body, headers: { 'content-type': 'application/json', ...headers } });

  const open = () => connect({ host: hostname, port: Number(port) });
  const say: Probe['say'] = async (...pieces) => {
    const socket = open();
    const heard = listen(socket);
    for (const piece of pieces) socket.write(piece, 'latin1');
    return parseAnswers(await heard).map((answer) => record(answer, true, pieces.join('').slice(0, 80)));
  };

  async function settle(): Promise<void> {
    const { rows } = await stack.database.pool.query<{ type: string; n: number }>(
      `SELECT type, count(*)::integer AS n FROM event
        WHERE type IN ('PromptSubmitted', 'PromptCancelled', 'PromptRequeued') GROUP BY type`,
    );
    const count = Object.fromEntries(rows.map(({ type, n }) => [type, n]));
    assert.equal(count['PromptSubmitted'] ?? 0, accepted.ids.length);
    assert.equal(new Set(accepted.ids).size, accepted.ids.length);
    assert.equal((count['PromptCancelled'] ?? 0) + (count['PromptRequeued'] ?? 0), accepted.changes);
    for (const id of accepted.ids) {
      await until(`${id} has ended`, async () => {
        const { text } = await send('GET', `/prompts/${id}?wait=5`);
        const { status } = JSON.parse(text) as { status: string };
        return ['completed', 'failed', 'cancelled', 'expired'].includes(status);
      });
    }
  }
  return { send, ask, fields: (more) => ask(JSON.stringify({ prompt: 'x', ...more })), open, say, settle, accepted };
}

/** All bytes until the connection has ended. */
export function listen(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The server may close while more is on its way to it: what it said is what counts.
      if (pieces.length > 0 && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) resolve(Buffer.concat(pieces));
      else reject(error);
    });
    socket.on('close', () => resolve(Buffer.concat(pieces)));
  });
}

/** Reads answers with a Content-Length one after the other; 100 Continue is passed over. */
export function parseAnswers(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const end = rest.indexOf('\r\n\r\n');
    assert.ok(end > 0, `no head in ${rest.subarray(0, 200)}`);
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = new Headers(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
    const length = Number(headers.get('content-length') ?? 0);
    const text = rest.subarray(end + 4, end + 4 + length).toString();
    rest = rest.subarray(end + 4 + length);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
    const isJson = /json/.test(headers.get('content-type') ?? '');
    if (status === 100) continue;
    answers.push({
      status,
      header: (name) => headers.get(name),
      text,
      body: isJson ? (JSON.parse(text) as Body) : {},
    });
  }
  return answers;
}

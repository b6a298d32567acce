/** What Node refuses before Fastify sees it: there is only a socket to answer on. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HttpErrorCode } from '../../contracts/errors.ts';
import { problemBody } from './problem.ts';

const BY_PARSER_CODE: Record<string, HttpErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/** What came before the noise has so long to be answered. */
const EARLIER_ANSWERS_MS = 5_000;

/** `follow` hears of every request of the server, `answer` of every error of its parser. */
export function createParserErrorHandler() {
  /** Responses of a connection since it was last idle: more than one only when requests are pipelined. */
  const pending = new WeakMap<Socket, ServerResponse[]>();
  const failed = new WeakSet<Socket>();

  function follow({ socket }: IncomingMessage, response: ServerResponse): void {
    const earlier = (pending.get(socket) ?? []).filter(({ closed }) => !closed);
    pending.set(socket, [...earlier, response]);
  }

  function answer(error: Error & { code?: string }, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    if (failed.has(socket)) return;
    failed.add(socket);
    // What came before the noise is being worked on, and has its own answer: that one goes first.
    const earlier = (pending.get(socket) ?? []).filter(({ req, closed }) => req.complete && !closed);
    let left = earlier.length;
    if (left === 0) {
      refuseOn(socket, codeOf(error));
      return;
    }
    // An event stream would never end.
    const cut = setTimeout(() => socket.destroy(), EARLIER_ANSWERS_MS);
    socket.on('close', () => clearTimeout(cut));
    for (const response of earlier) {
      response.on('close', () => {
        left -= 1;
        if (left === 0 && socket.writable) refuseOn(socket, codeOf(error));
      });
    }
  }

  return { follow, answer };
}

const codeOf = (error: { code?: string }): HttpErrorCode => BY_PARSER_CODE[error.code ?? ''] ?? 'invalid_request';

/** A problem where there is no response to write it to, and the connection's end. */
export function refuseOn(socket: Duplex, code: HttpErrorCode, detail?: string): void {
  const requestId = randomUUID();
  const body = problemBody(code, requestId, detail === undefined ? {} : { detail });
  const text = JSON.stringify(body);
  socket.end(
    [
      `HTTP/1.1 ${body.status} ${body.title}`,
      'content-type: application/problem+json; charset=utf-8',
      `content-length: ${Buffer.byteLength(text)}`,
      `x-request-id: ${requestId}`,
      'connection: close',
      '',
      text,
    ].join('\r\n'),
  );
}

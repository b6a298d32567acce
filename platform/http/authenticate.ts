/** Every route behind a key: the credential is checked before the body is read. */
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { KeyHolder, VerifyKey } from '../postgres/api-keys.ts';
import { noteUser } from '../telemetry/requests.ts';
import { ANSWER_WITHIN_MS } from '../within.ts';
import { problem } from './problem.ts';
import type { Server } from './server.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by `authenticate`. */
    principal: KeyHolder;
    /** What the look at its credential took, milliseconds; set by `authenticate`. */
    checkedInMs: number;
  }
}

/** The credential of `Authorization: Bearer …`; null when there is none of that form. */
export function bearerToken(header: string | undefined): string | null {
  return /^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? null;
}

/** An `onRequest` hook. A key in the address would end up in logs: it is not looked for there. */
export function authenticate(verify: VerifyKey): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    const startedAt = performance.now();
    const holder = token ? await verify(token) : null;
    request.checkedInMs = performance.now() - startedAt;
    if (!holder) throw problem('unauthenticated', { detail: 'send Authorization: Bearer <api key>' });
    request.principal = holder;
    noteUser(holder.userId);
  };
}

/** What is left to a request of the time in which it must be answered. Its body's way to us is the client's own time. */
export const timeLeft = ({ checkedInMs }: FastifyRequest): number => Math.max(100, ANSWER_WITHIN_MS - checkedInMs);

/** An `onRequest` hook of a route behind `authenticate`. */
export async function adminsOnly(request: FastifyRequest): Promise<void> {
  if (request.principal.role !== 'admin') throw problem('forbidden');
}

/** Of a route without parameters: whoever misspells one should hear of it. */
export const NoQuery = Type.Object({}, { additionalProperties: false });

/** Every route that is added to `server` from here on asks for a key, and knows its parameters. */
export function protect(server: Server, verify: VerifyKey): void {
  server.addHook('onRequest', authenticate(verify));
  server.addHook('onRoute', ({ schema }) => {
    if (schema) schema.querystring ??= NoQuery;
  });
}

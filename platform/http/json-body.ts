/**
 * JSON bodies, strictly: valid UTF-8, bounded depth, no text that Postgres cannot hold. Written for speed where the
 * body is harmless: most hold neither `\u` nor many brackets, and pay one scan for either.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { MAX_DEPTH, repeatedNames, scanJson } from './json-scan.ts';
import { problem } from './problem.ts';

/** Keys that would reach an object's prototype. */
const PROTOTYPE_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

export function acceptJsonBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      refuseOtherEncodings(request.headers);
      request.rawBody = body as Buffer;
      // No body but the header: what clients send to routes whose body is optional. The others' schemas refuse it.
      done(null, body.length === 0 ? null : parseJson(body as Buffer));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
  server.decorateRequest('rawBody', null);
}

/** A body that is compressed, or not UTF-8, would be read as something that was not meant. */
function refuseOtherEncodings(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding'] ?? 'identity';
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (encoding.toLowerCase() === 'identity' && /^(utf-8|utf8|us-ascii)$/i.test(charset)) return;
  throw problem('unsupported_media_type', { detail: 'send JSON as UTF-8, not compressed' });
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The body's bytes as they were sent; null without one. */
    rawBody: Buffer | null;
  }
}

const refuse = (pointer: string, message: string) => problem('invalid_request', { errors: [{ pointer, message }] });

export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw refuse('', 'the body is not UTF-8');
  const { tooDeep, names } = scanJson(body);
  if (tooDeep) throw refuse('', `the body is nested deeper than ${MAX_DEPTH} levels`);
  const text = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse('', `the body is not JSON: ${(error as Error).message.slice(0, 120)}`);
  }
  // Of two fields of one name JSON.parse keeps the last, silently.
  if (countNames(value) < names) throw problem('invalid_request', { errors: repeatedNames(body) });
  // U+0000 and lone surrogates can only stand in it as escapes; `__proto__` and the like stand as they are.
  if (text.includes('\\u') || /"(__proto__|constructor|prototype)"/.test(text)) {
    const faults = hostileParts(value, '');
    if (faults.length > 0) throw problem('invalid_request', { errors: faults.slice(0, 50) });
  }
  return value;
}

function countNames(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, inner) => sum + countNames(inner), own);
}

type Fault = { pointer: string; message: string };

function hostileParts(value: unknown, pointer: string): Fault[] {
  if (typeof value === 'string') {
    const message = unstorable(value);
    return message ? [{ pointer, message }] : [];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = `${pointer}/${key.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const ownKey = Array.isArray(value) ? null : PROTOTYPE_KEYS.has(key) ? 'is not an allowed name' : unstorable(key);
    return [...(ownKey ? [{ pointer: at, message: ownKey }] : []), ...hostileParts(inner, at)];
  });
}

const unstorable = (text: string): string | null =>
  text.includes('\u0000') ? 'must not contain U+0000' : text.isWellFormed() ? null : 'must not contain lone surrogates';

/**
 * JSON bodies, strictly: valid UTF-8, bounded depth, no text that Postgres cannot hold. Written for speed where the
 * body is harmless: most hold neither `\u` nor many brackets, and pay one scan for either.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { problem } from './problem.ts';

const MAX_DEPTH = 32;
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
  if (isTooDeep(body)) throw refuse('', `the body is nested deeper than ${MAX_DEPTH} levels`);
  const text = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse('', `the body is not JSON: ${(error as Error).message.slice(0, 120)}`);
  }
  // U+0000 and lone surrogates can only stand in it as escapes; `__proto__` and the like stand as they are.
  if (text.includes('\\u') || /"(__proto__|constructor|prototype)"/.test(text)) {
    const faults = hostileParts(value, '');
    if (faults.length > 0) throw problem('invalid_request', { errors: faults.slice(0, 50) });
  }
  return value;
}

/** Counts brackets outside strings; JSON.parse of deep nesting is cheap, but what walks its result overflows. */
function isTooDeep(body: Buffer): boolean {
  const OPEN_BRACE = 0x7b;
  const CLOSE_BRACE = 0x7d;
  const OPEN_BRACKET = 0x5b;
  const CLOSE_BRACKET = 0x5d;
  const QUOTE = 0x22;
  const BACKSLASH = 0x5c;
  let depth = 0;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (byte === QUOTE) {
      i = endOfString(body, i + 1, QUOTE, BACKSLASH);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    }
  }
  return false;
}

/** indexOf runs at memory speed; prompts are long strings with few quotes. */
function endOfString(body: Buffer, from: number, quote: number, backslash: number): number {
  let end = body.indexOf(quote, from);
  while (end !== -1) {
    let slashes = 0;
    while (body[end - 1 - slashes] === backslash && end - 1 - slashes >= from) slashes += 1;
    if (slashes % 2 === 0) return end;
    end = body.indexOf(quote, end + 1);
  }
  return body.length;
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

/** A Fastify server with a strict edge: time-outs, limits and error bodies that every service shares. */
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerFactory,
  LogController,
  type RawServerDefault,
} from 'fastify';
import { nameRequest, traceRequests } from '../telemetry/requests.ts';
import { activeTraceparent, traceparentOf } from '../telemetry/traceparent.ts';
import { trackConnections } from './closing.ts';
import { acceptJsonBodies } from './json-body.ts';
import { createParserErrorHandler } from './parser-errors.ts';
import { handleError, sendProblem } from './problem.ts';
import { validatorCompiler } from './validation.ts';

export type Server = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the request's own span where there are traces, else what the client sent; for what it causes. */
    traceparent: string | null;
  }
}

export type ServerOptions = {
  logger: FastifyBaseLogger;
  /** Requests begin or go on with a trace. */
  tracing?: boolean;
  /** Milliseconds a request may take to arrive; the answer may take longer. */
  requestTimeoutMs?: number;
  headersTimeoutMs?: number;
  /** Once it is aborted every answer is its connection's last, so that what comes next goes to another instance. */
  stopping?: AbortSignal;
  onResponse?: (response: { method: string; route: string; status: number; seconds: number }) => void;
};

export const BODY_LIMIT = 2_000_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 20_000;
const REQUEST_ID = /^[\w.:-]{1,128}$/;

export function createServer(options: ServerOptions): Server {
  const parserErrors = createParserErrorHandler();
  const server = Fastify({
    loggerInstance: options.logger,
    // A line for every request would be most of the log; faults are logged where they are answered.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: options.requestTimeoutMs ?? 15_000,
    // Longer than gateways keep what they do not use (60 s by default in some): whoever closes first may do so under a request.
    keepAliveTimeout: 75_000,
    forceCloseConnections: 'idle',
    // Fastify's own 503 says neither why nor when to come again. What still arrives on an open connection is answered as
    // ever, and the connection closed: everything behind the edge stops after it.
    return503OnClosing: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: false },
    frameworkErrors: (error, request, reply) => handleError(error, request, reply),
    clientErrorHandler: parserErrors.answer,
    ...(options.tracing && { serverFactory: createTracedServer }),
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: options.headersTimeoutMs ?? 8_000,
      connectionsCheckingInterval: 500,
      // `Upgrade: h2c`, which curl and Java's client send by default, is an ordinary request to us.
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  server.server.maxConnections = MAX_CONNECTIONS;
  server.server.on('request', parserErrors.follow);
  server.setValidatorCompiler(validatorCompiler as never);
  // Schemas describe answers; JSON.stringify writes them: faster than the unions' validators, and lossless for any text.
  server.setSerializerCompiler(() => (value: unknown) => JSON.stringify(value));
  server.setErrorHandler(handleError as never);
  server.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, 'not_found', { detail: 'there is nothing at this address' }),
  );
  acceptJsonBodies(server as unknown as FastifyInstance);
  server.decorateRequest('traceparent', null);
  server.addHook('onRequest', async (request, reply) => {
    request.traceparent = activeTraceparent() ?? traceparentOf(request.headers.traceparent);
    if (options.tracing) nameRequest(request.method, request.routeOptions.url ?? null);
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
  });
  let isClosing = false;
  // Not when it comes: an answer that was waited for may be told after the stop.
  server.addHook('onSend', async (_request, reply) => {
    if (isClosing || options.stopping?.aborted) reply.header('connection', 'close');
  });
  const endConnections = trackConnections(server.server);
  server.addHook('preClose', async () => {
    isClosing = true;
    endConnections();
  });
  const { onResponse } = options;
  if (onResponse) {
    server.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none';
      onResponse({ method: request.method, route, status: reply.statusCode, seconds: reply.elapsedTime / 1000 });
    });
  }
  return server as Server;
}

/** As Fastify's own, but that every request is handled in its trace: no hook is early enough for that. */
const createTracedServer: FastifyServerFactory = (handle, settings) => {
  const { http, keepAliveTimeout, requestTimeout } = settings as {
    http: object;
    keepAliveTimeout: number;
    requestTimeout: number;
  };
  return Object.assign(createHttpServer(http, traceRequests(handle)), { keepAliveTimeout, requestTimeout });
};

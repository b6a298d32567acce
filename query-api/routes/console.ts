/** The console's files at `/`: one page that talks to this origin only. */
import fastifyStatic from '@fastify/static';
import type { Server } from '../../platform/http/server.ts';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export async function consoleRoutes(server: Server, directory: string): Promise<void> {
  await server.register(fastifyStatic, {
    root: directory,
    // One route per file: a wildcard would answer for every address that nobody else has.
    wildcard: false,
    setHeaders: (reply) => {
      reply.header('content-security-policy', POLICY);
      reply.header('cache-control', 'no-cache');
    },
  });
}

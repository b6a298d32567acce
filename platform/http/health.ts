import { Type } from '@sinclair/typebox';
import type { Readiness } from './admin.ts';
import type { Server } from './server.ts';

/** GET /health, without a credential: 200 while the service can serve, with each dependency; else 503. */
export function healthRoute(
  server: Server,
  ready: () => Promise<Readiness>,
  more: () => Promise<object> = async () => ({}),
): void {
  const response = { 200: Type.Unknown(), 503: Type.Unknown() };
  server.get(
    '/health',
    { schema: { summary: 'Whether the service can serve', tags: ['operations'], security: [], response } },
    async (_request, reply) => {
      const [checks, details] = await Promise.all([ready(), more()]);
      const ok = Object.values(checks).every((check) => check.ok);
      reply.code(ok ? 200 : 503);
      return { status: ok ? 'ok' : 'unavailable', ...checks, ...details };
    },
  );
}

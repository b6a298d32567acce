/** OpenAPI 3.1 from the routes' schemas, and a page to read it. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { Server } from './server.ts';

/** Register before the routes: it collects them as they come. */
export async function describeApi(server: Server, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Prompt orchestrator',
        version,
        description:
          'Send prompts, get 202 at once, receive answers over the live feed; every attempt, token and nano-dollar is on record.',
      },
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
      security: [{ apiKey: [] }],
    },
  });
}

/** `/openapi.json` and `/docs`, without a credential. */
export async function serveApiDescription(server: Server): Promise<void> {
  await server.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  server.get('/openapi.json', { schema: { hide: true } }, async () => server.swagger());
}

/** GET /models. */
import { Type } from '@sinclair/typebox';
import { ModelPrice } from '../../contracts/http/queries.ts';
import type { Server } from '../../platform/http/server.ts';

/** A model of the price book; prices in USD for a million tokens, decimal strings. */
export type ServedModel = {
  model: string;
  inputPerMillion: string | null;
  cachedInputPerMillion: string | null;
  outputPerMillion: string | null;
};

export function modelsRoute(
  server: Server,
  { models, defaultModel, priceVersion }: { models: ServedModel[]; defaultModel: string; priceVersion: string },
): void {
  const data = models.map((model) => ({ ...model, priceVersion, default: model.model === defaultModel }));
  server.get(
    '/models',
    {
      schema: {
        summary: 'The models served, with their prices',
        tags: ['queries'],
        response: { 200: Type.Object({ data: Type.Array(ModelPrice) }) },
      },
    },
    async () => ({ data }),
  );
}

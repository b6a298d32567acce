/** The models served: those of the price book, narrowed by MODELS. */
import { ConfigError } from '../config/load.ts';
import { DEFAULT_MODEL, type ListedModel, type PriceBook } from './price-book.ts';

export type ServedModels = { models: ListedModel[]; defaultModel: string };

/** Throws `ConfigError` on a model that the book does not know, or a default that is not served. */
export function servedModels(
  book: PriceBook,
  config: { MODELS: readonly string[]; DEFAULT_MODEL: string | null },
  at: Date,
): ServedModels {
  const listed = book.models(at);
  const known = new Set(listed.map(({ model }) => model));
  const unknown = config.MODELS.filter((model) => !known.has(model));
  const problems = unknown.map(
    (model) => `MODELS: "${model}" is not a Gemini text model of the price book (${book.version})`,
  );
  const models = config.MODELS.length === 0 ? listed : listed.filter(({ model }) => config.MODELS.includes(model));
  const usual = models.some(({ model }) => model === DEFAULT_MODEL) ? DEFAULT_MODEL : models[0]?.model;
  const preferred = config.DEFAULT_MODEL ?? usual;
  if (!models.some(({ model }) => model === preferred)) {
    problems.push(`DEFAULT_MODEL: "${preferred}" is not among the models served`);
  }
  if (problems.length > 0 || preferred === undefined) throw new ConfigError(problems);
  return { models, defaultModel: preferred };
}

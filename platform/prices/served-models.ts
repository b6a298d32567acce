/** The models served: those of the price book, narrowed by MODELS. */
import { ConfigError, gather } from '../config/load.ts';
import { createPriceBook, DEFAULT_MODEL, type ListedModel, type PriceBook } from './price-book.ts';
import { openPriceBook } from './price-file.ts';

export type ServedModels = { models: ListedModel[]; defaultModel: string };

/**
 * The book of the configuration, and the models it makes served now. Throws `ConfigError` with all that is wrong with PRICES_FILE,
 * MODELS and DEFAULT_MODEL: beside a file with faults the models are judged by the package's prices.
 */
export function openServedModels(
  config: { PRICES_FILE: string | null } & Parameters<typeof servedModels>[1],
): ServedModels & { book: PriceBook } {
  const problems: string[] = [];
  const book = gather(problems, () => openPriceBook(config)) ?? createPriceBook();
  const served = gather(problems, () => servedModels(book, config, new Date()));
  if (problems.length > 0 || !served) throw new ConfigError(problems);
  return { ...served, book };
}

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
  if (config.DEFAULT_MODEL !== null && !models.some(({ model }) => model === preferred)) {
    problems.push(`DEFAULT_MODEL: "${preferred}" is not among the models served`);
  }
  if (problems.length > 0 || preferred === undefined) throw new ConfigError(problems);
  return { models, defaultModel: preferred };
}

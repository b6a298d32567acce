/** The part of `npm run replay` that asks what recorded prompts would have cost. */

import type { Config } from '../../platform/config/load.ts';
import { openClient } from '../../platform/postgres/client.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { createPriceBook, type PriceBook } from '../../platform/prices/price-book.ts';
import { openPriceBook, readPriceFile } from '../../platform/prices/price-file.ts';
import { type Repricing, repricing } from '../../platform/prices/rerate.ts';
import { listVersions } from '../../projector/rebuild/versions.ts';
import { archiveDirOf, CliError, cliConfig, postgresUri } from '../target.ts';
import { asCsv, asJson, asTable } from './report.ts';
import { rerateLog, type Until } from './rerate-log.ts';
import { modelFor, pricesName, type Swap, strangers, swapFault } from './what-if.ts';

const MODELS_ASKED = versionedSql(import.meta.url, 'sql/models-asked.sql');

export type OtherPrices = {
  /** A price file; null: the prices that the services charge. */
  prices: string | null;
  whatIf: Swap[];
};

export type RepricingOptions = OtherPrices & {
  until: Until | null;
  /** Null: the folder that the configuration names. */
  archive: string | null;
  form: 'table' | 'json' | 'csv';
};

/** Told, beside what was charged; nothing is changed. */
export async function showRepriced({ until, archive, form, ...other }: RepricingOptions): Promise<void> {
  const config = cliConfig();
  const { book, repricing } = openRepricing(other, config);
  const rerated = await rerateLog({
    uri: postgresUri(config),
    ...(until && { until }),
    archiveDir: archive ?? archiveDirOf(config),
    repricing,
    onProgress: createProgress(),
  });
  refuseStrangers(strangers(other.whatIf, book.names, rerated.rows));
  const report = { ...rerated, priceVersion: book.version, whatIf: other.whatIf };
  const print = {
    table: () => asTable(report, process.stdout.isTTY),
    json: () => asJson(report),
    csv: () => asCsv(report).slice(0, -1), // the last line feed is the console's
  };
  console.log(print[form]());
}

/** For a version of the read models; what a misspelt model would make is not made. */
export async function repricingForVersion(other: OtherPrices, config: Config): Promise<Repricing> {
  const { book, repricing } = openRepricing(other, config);
  // Most often the book knows them all, and nobody is asked.
  if (strangers(other.whatIf, book.names, []).length > 0)
    refuseStrangers(strangers(other.whatIf, book.names, await modelsAsked(postgresUri(config))));
  return repricing;
}

function openRepricing({ prices, whatIf }: OtherPrices, config: Config): { book: PriceBook; repricing: Repricing } {
  const book = prices === null ? openPriceBook(config) : createPriceBook(readPriceFile(prices));
  const fault = swapFault(whatIf, book.names);
  if (fault) throw new CliError(fault);
  const name = pricesName(book.version, whatIf);
  return { book, repricing: repricing({ book, modelFor: modelFor(whatIf) }, name) };
}

function refuseStrangers([first]: string[]): void {
  if (first !== undefined) throw new CliError(`Neither the prices nor any prompt know the model "${first}".`);
}

/** As the served read model has them. */
async function modelsAsked(uri: string): Promise<{ model: string }[]> {
  const client = await openClient({ uri, name: 'replay', statementTimeoutMs: 10_000 });
  try {
    const served = (await listVersions(client)).find(({ isLive }) => isLive);
    if (!served) return [];
    const { rows } = await client.query<{ model: string }>(MODELS_ASKED(served.version));
    return rows;
  } finally {
    await client.end();
  }
}

/** On stderr: what stands on stdout is the result alone. */
function createProgress(): (progress: { events: number; total: number }) => void {
  const startedAt = performance.now();
  let shownAt = startedAt;
  return ({ events, total }) => {
    if (performance.now() - shownAt < 500) return;
    shownAt = performance.now();
    const perSecond = Math.round((events * 1000) / (shownAt - startedAt));
    const left = perSecond > 0 ? Math.ceil((total - events) / perSecond) : 0;
    console.error(`${events} of ${total} events, ${perSecond}/s, ${left} s left`);
  };
}

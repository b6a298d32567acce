/** The part of `npm run replay` that asks what recorded prompts would have cost; nothing is changed by it. */

import { createPriceBook, type PriceBook } from '../../platform/prices/price-book.ts';
import { openPriceBook, readPriceFile } from '../../platform/prices/price-file.ts';
import { repricing } from '../../platform/prices/rerate.ts';
import { archiveDirOf, CliError, cliConfig, postgresUri } from '../target.ts';
import { asCsv, asJson, asTable } from './report.ts';
import { rerateLog, type Until } from './rerate-log.ts';
import { modelFor, type Swap, strangers, swapFault } from './what-if.ts';

export type RepricingOptions = {
  /** A price file; null: the prices that the services charge. */
  prices: string | null;
  whatIf: Swap[];
  until: Until | null;
  /** Null: the folder that the configuration names. */
  archive: string | null;
  form: 'table' | 'json' | 'csv';
};

export async function showRepriced({ prices, whatIf, until, archive, form }: RepricingOptions): Promise<void> {
  const config = cliConfig();
  const book: PriceBook = prices === null ? openPriceBook(config) : createPriceBook(readPriceFile(prices));
  const fault = swapFault(whatIf, book.names);
  if (fault) throw new CliError(fault);
  const rerated = await rerateLog({
    uri: postgresUri(config),
    ...(until && { until }),
    archiveDir: archive ?? archiveDirOf(config),
    repricing: repricing({ book, modelFor: modelFor(whatIf) }),
    onProgress: createProgress(),
  });
  const [stranger] = strangers(whatIf, book.names, rerated.rows);
  if (stranger !== undefined) throw new CliError(`Neither the prices nor any prompt know the model "${stranger}".`);
  const report = { ...rerated, priceVersion: book.version, whatIf };
  const print = {
    table: () => asTable(report, process.stdout.isTTY),
    json: () => asJson(report),
    csv: () => asCsv(report).slice(0, -1), // the last line feed is the console's
  };
  console.log(print[form]());
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

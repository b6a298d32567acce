/** A price file: prices of one's own over those of the package. What it is: doc/how-to/set-prices.md. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ConfigError } from '../config/load.ts';
import { MAX_DEPTH, repeatedNames, scanJson } from '../http/json-scan.ts';
import { createPriceBook, type PriceBook } from './price-book.ts';
import { type Fault, type PriceFile, readPriceList } from './price-list.ts';

/** Nothing of the file counts; `faults` are all that is wrong with it. */
export class PriceFileError extends Error {
  readonly code = 'invalid_prices';
  readonly faults: Fault[];
  constructor(path: string, faults: Fault[]) {
    super(`The price file ${path} is not valid:\n${faults.map((fault) => `  ${faultText(fault)}`).join('\n')}`);
    this.faults = faults;
  }
}

/** The book of the configuration. Throws `ConfigError` with every fault of PRICES_FILE. */
export function openPriceBook(config: { PRICES_FILE: string | null }): PriceBook {
  const path = config.PRICES_FILE;
  if (path === null) return createPriceBook();
  try {
    return createPriceBook(readPriceFile(path));
  } catch (error) {
    if (!(error instanceof PriceFileError)) throw error;
    throw new ConfigError(error.faults.map((fault) => `PRICES_FILE: ${path} ${faultText(fault)}`));
  }
}

/** Throws `PriceFileError`. */
export function readPriceFile(path: string): PriceFile {
  const bytes = bytesOf(path);
  const { models, faults } = readPriceList(jsonOf(path, bytes));
  const twice = repeatedNames(bytes);
  if (faults.length + twice.length > 0) throw new PriceFileError(path, [...faults, ...twice]);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
  return { version: `${basename(path).replace(/[^\w.-]/g, '_')}#${hash}`, models };
}

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new PriceFileError(path, [{ pointer: '', message: `cannot be read: ${(error as Error).message}` }]);
  }
}

function jsonOf(path: string, bytes: Buffer): unknown {
  const fault = (message: string) => new PriceFileError(path, [{ pointer: '', message }]);
  if (scanJson(bytes).tooDeep) throw fault(`is nested deeper than ${MAX_DEPTH} levels`);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw fault(`is not JSON: ${(error as Error).message.slice(0, 120)}`);
  }
}

const faultText = ({ pointer, message }: Fault): string => (pointer === '' ? message : `${pointer}: ${message}`);

/** Where a tool works: on what the environment names, else on the embedded stack that runs on DATA_DIR. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, loadConfig } from '../platform/config/load.ts';
import { readStackFile } from '../platform/config/stack-file.ts';
import { isDateTime } from '../platform/http/formats.ts';
import { isConnectionLoss } from '../platform/postgres/sqlstate.ts';
import { toUtc } from '../platform/postgres/utc-time.ts';
import { printable } from './printable.ts';

/** Said without a stack trace. */
export class CliError extends Error {}

const NO_STACK = 'No stack runs on this data folder: start one with "npm start", or set DATA_DIR to its folder';

export function cliConfig(): Config {
  if (existsSync('.env')) process.loadEnvFile('.env');
  return loadConfig('cli');
}

/** The database's address; the login there may be more than the services' role. */
export function postgresUri(config: Config): string {
  const uri = config.POSTGRES_URI ?? readStackFile(config.DATA_DIR)?.postgresUri;
  if (!uri) throw new CliError(`${NO_STACK}, or set POSTGRES_URI.`);
  return uri;
}

/**
 * Folder of the archive. The embedded stack has one; elsewhere it must be named, since a tool's working directory may be gone
 * tomorrow.
 */
export function archiveDirOf(config: Config): string | undefined {
  return config.ARCHIVE_DIR ?? (config.POSTGRES_URI === null ? join(config.DATA_DIR, 'archive') : undefined);
}

/** The API's address and a key: `--url` and `--key`, else the running stack's. */
export function apiTarget(
  config: Config,
  options: { url?: string; key?: string },
): { baseUrl: string; apiKey: string } {
  const baseUrl = options.url ?? readStackFile(config.DATA_DIR)?.address;
  if (!baseUrl) throw new CliError(`${NO_STACK}, or name one with --url and --key.`);
  const file = join(config.DATA_DIR, 'api-key');
  const apiKey = options.key ?? (existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined);
  if (!apiKey) throw new CliError(`There is no key in ${file}: give one with --key.`);
  return { baseUrl, apiKey };
}

/** RFC 3339 as it stands, or a date alone, which is midnight UTC; null for anything else, a year that `Date` makes of a number too. */
export function timeOf(text: string): string | null {
  if (isDateTime(text)) return toUtc(text);
  return isDateTime(`${text}T00:00:00Z`) ? `${text}T00:00:00.000Z` : null;
}

/** A position of the log, or a time. `option`: as it was given, for who is told that it is neither. */
export function placeOf(option: string, text: string): { position: number } | { time: string } {
  if (/^\d{1,15}$/.test(text)) return { position: Number(text) };
  const time = timeOf(text);
  if (time === null)
    throw new CliError(`${option} ${printable(text)} is neither a position nor a time like 2026-11-23T10:00:00Z.`);
  return { time };
}

/** Runs a tool; faults that are the user's to mend are one sentence and exit code 1. */
export async function runTool(tool: () => Promise<void>): Promise<void> {
  try {
    await tool();
  } catch (error) {
    console.error(isKnown(error) ? (error as Error).message : isConnectionLoss(error) ? lost(error) : error);
    process.exitCode = 1;
  }
}

const isKnown = (error: unknown): boolean =>
  error instanceof CliError || (error instanceof Error && 'code' in error && typeof error.code === 'string');

const lost = (error: unknown): string =>
  `The connection to PostgreSQL was lost (${(error as Error).message}). What was under way may be done or not: look first.`;

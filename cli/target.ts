/** Where a tool works: on what the environment names, else on the embedded stack that runs on DATA_DIR. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, loadConfig } from '../platform/config/load.ts';
import { readStackFile } from '../platform/config/stack-file.ts';

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

/** Runs a tool; faults that are the user's to mend are one sentence and exit code 1. */
export async function runTool(tool: () => Promise<void>): Promise<void> {
  try {
    await tool();
  } catch (error) {
    const known =
      error instanceof CliError || (error instanceof Error && 'code' in error && typeof error.code === 'string');
    console.error(known ? (error as Error).message : error);
    process.exitCode = 1;
  }
}

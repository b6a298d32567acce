/** The compose file, and the environment that it gives to a service, as Docker Compose reads them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseYaml, ROOT } from './tools.ts';

export const COMPOSE_FILE = 'deployment/docker/docker-compose.yml';
export const HOW_TO = 'doc/how-to/run-on-compose.md';

export type ComposeService = {
  image: string;
  build?: { context: string; dockerfile: string };
  entrypoint?: string[];
  command?: string[];
  env_file?: string[];
  environment?: Record<string, string>;
  depends_on?: string[] | Record<string, { condition: string }>;
  volumes?: string[];
  ports?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  stop_grace_period?: string;
  restart?: string;
  /** Without a test it is the image's own. */
  healthcheck?: { test?: string[]; disable?: boolean };
};
export type ComposeFile = { services: Record<string, ComposeService>; volumes: Record<string, unknown> };

export const readText = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
export const readYaml = (file: string): unknown => parseYaml(readText(file));
export const readCompose = (): ComposeFile => readYaml(COMPOSE_FILE) as ComposeFile;

/** The two files as the how-to prints them, by name. */
export function environmentFiles(): Record<string, string> {
  const blocks = [...readText(HOW_TO).matchAll(/^```dotenv (\S+)\n(.*?)^```$/gms)];
  return Object.fromEntries(blocks.map(([, name = '', text = '']) => [name, text]));
}

/** What reaches the service: its files in order, then what stands in the compose file itself. */
export function environmentOf(service: ComposeService, files: Record<string, string>): Record<string, string> {
  const given = (service.env_file ?? []).map((path) => parseDotenv(files[path.replace('../../', '')] ?? missing(path)));
  return Object.assign({}, ...given, service.environment) as Record<string, string>;
}

function missing(path: string): never {
  throw new Error(`the how-to prints no ${path}`);
}

/** Lines `NAME=value`, the value perhaps in double quotes; `${NAME}` is one of the lines before. */
function parseDotenv(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const line of text.split('\n').filter((one) => one.trim() !== '' && !one.startsWith('#'))) {
    const [, name, raw = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
    if (!name) throw new Error(`not a line of an environment file: ${line}`);
    const unquoted = /^"(.*)"$/.exec(raw)?.[1] ?? raw;
    values[name] = unquoted.replace(/\$\{(\w+)\}/g, (whole, other: string) => {
      if (!(other in values)) throw new Error(`${name}: ${whole} is not set before it`);
      return values[other]!;
    });
  }
  return values;
}

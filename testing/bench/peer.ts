/** Runs a peer's script in a process of its own; its packages are installed when first needed. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const PEERS = join(import.meta.dirname, 'peers');

export type PeerResult = { perSecond: number; addPerSecond?: number; processPerSecond?: number };

/** The script's options are its one argument, its result the last line it prints, both JSON. */
export async function runPeer(script: string, options: Record<string, unknown>): Promise<PeerResult> {
  if (!existsSync(join(PEERS, 'node_modules'))) {
    const install = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: PEERS,
      stdio: 'inherit',
    });
    if (install.status !== 0) throw new Error('the peers could not be installed');
  }
  const child = spawn(process.execPath, [join(PEERS, script), JSON.stringify(options)], {
    cwd: PEERS,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 240_000,
  });
  let said = '';
  child.stdout.on('data', (piece) => {
    said += piece;
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return JSON.parse(said.trim().split('\n').at(-1) ?? '') as PeerResult;
}

/** PostgreSQL refuses to run as root: how to run it all the same. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StartError } from './start-error.ts';

/** Command and leading arguments that a program is started with, and where its files are. */
export type Launch = { command: string; args: string[]; cwd: string; uid?: number; gid?: number };
export type PostgresHome = { launch: (program: 'initdb' | 'postgres') => Launch; clusterParent: string };

export type PrivilegeMode = 'direct' | 'user-namespace' | 'other-user';

/** `nobody` of most systems; any unprivileged id serves. */
const UNPRIVILEGED = 65_534;
const UNSHARE = ['--user', '--map-user=1000', '--map-group=1000'];

export function choosePrivilegeMode(): PrivilegeMode {
  if (process.getuid?.() !== 0) return 'direct';
  const probe = spawnSync('unshare', [...UNSHARE, 'true'], { stdio: 'ignore' });
  return probe.status === 0 ? 'user-namespace' : 'other-user';
}

/** `binDir` holds initdb and postgres, with `../lib` and `../share` beside it. */
export function postgresHome(mode: PrivilegeMode, dataDir: string, binDir: string): PostgresHome {
  const at = (dir: string) => (program: string) => join(dir, program);
  switch (mode) {
    case 'direct':
      return {
        clusterParent: dataDir,
        launch: (program) => ({ command: at(binDir)(program), args: [], cwd: dataDir }),
      };
    case 'user-namespace':
      // Root outside is uid 1000 inside: files stay root's, folders only root may enter can be entered.
      return {
        clusterParent: dataDir,
        launch: (program) => ({ command: 'unshare', args: [...UNSHARE, at(binDir)(program)], cwd: dataDir }),
      };
    case 'other-user': {
      const home = reachableHome(dataDir, binDir);
      const ids = { uid: UNPRIVILEGED, gid: UNPRIVILEGED };
      const launch = (program: string) => ({ command: join(home, 'native/bin', program), args: [], cwd: home, ...ids });
      return { clusterParent: home, launch };
    }
  }
}

/** A folder that the unprivileged user can reach, with a copy of the binaries; remembered in the data folder. */
function reachableHome(dataDir: string, binDir: string): string {
  const note = join(dataDir, 'postgres-home');
  if (existsSync(note)) {
    const home = readFileSync(note, 'utf8');
    if (existsSync(join(home, 'native'))) return home;
    throw new StartError(
      `The database of ${dataDir} was kept in ${home}, which is gone: restore that folder, or remove ${dataDir} to begin anew.`,
    );
  }
  const home = mkdtempSync(join(existsSync('/var/lib') ? '/var/lib' : tmpdir(), 'prompt-orchestrator-'));
  cpSync(dirname(binDir), join(home, 'native'), { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(home, 'run'), { mode: 0o700 });
  chownSync(home, UNPRIVILEGED, UNPRIVILEGED);
  chmodSync(home, 0o700);
  writeFileSync(note, home, { mode: 0o600 });
  return home;
}

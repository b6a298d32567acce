/**
 * A7 on a disk that is really full: Postgres lives on a small file system of its own, which is filled under load until
 * no page and then no segment of the log finds room any more, and is freed. A part of `npm run faults`, which starts it
 * in a mount namespace (`unshare -Urm`); the file system goes with that.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bench, type Case, pause, until } from './cases/bench.ts';
import { stopFleetsOnSignals } from './fleet.ts';
import { passes } from './one-case.ts';

const SIZE = '320m';
/** Few segments are made ahead: a new one is soon asked for. */
const SETTINGS = { max_wal_size: '64MB', min_wal_size: '32MB' };

stopFleetsOnSignals();
const dir = mkdtempSync(join(tmpdir(), 'orchestrator-disk-'));
const disk = join(dir, 'disk');
const log = join(dir, 'postgres.log');
execFileSync('mkdir', [disk]);
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', disk]);
writeFileSync(log, '');
symlinkSync(log, join(disk, 'postgres.log')); // what it says of the full disk must not go onto it
let failed = false;
try {
  failed = !(await run());
} finally {
  execFileSync('umount', ['--lazy', disk]);
  rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

/** The rest of the space, to the last byte. */
function fill(file: string): void {
  const piece = Buffer.alloc(2 ** 20);
  const handle = openSync(file, 'w');
  try {
    for (let size = piece.length; size >= 1; ) {
      try {
        writeSync(handle, piece, 0, size);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(handle);
  }
}

async function untilFull({ fleet }: Bench, filler: string): Promise<void> {
  fill(filler);
  await until('no page finds room', () => /ERROR: .*No space left on device/.test(readFileSync(log, 'utf8')), 20_000);
  await pause(2_000);
  await until(
    'no segment finds room',
    async () => {
      await fleet.query(`SELECT pg_logical_emit_message(true, 'full', 'disk'), pg_switch_wal()`).catch(() => {}); // its log tells
      return /PANIC: .*No space left on device/.test(readFileSync(log, 'utf8'));
    },
    20_000,
  );
  await pause(1_000);
}

function run(): Promise<boolean> {
  const filler = join(disk, 'filler');
  const full: Case = {
    name: 'A7 the disk of Postgres is full',
    run: async (bench) => {
      const load = bench.clients.load(50);
      await pause(1_000);
      await bench.fault('disk full', ['postgres'], async () => {
        await bench.fleet.impairments.during('postgres', 'refusing', () => untilFull(bench, filler));
        rmSync(filler);
        await bench.fleet.postgres.kill(); // what may be left of it: it does not come back while it finds no room
        await bench.fleet.postgres.start();
      });
      await load.stop();
      await bench.clean();
    },
  };
  return passes(full, { postgresDir: disk, postgresSettings: SETTINGS }, 'npm run faults -- disk');
}

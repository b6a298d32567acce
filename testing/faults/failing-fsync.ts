/**
 * A7 with a flush that really fails: a tracer has every `fdatasync` of Postgres answered with EIO, under load. The first
 * commit makes it panic, whoever waits is told 58030, and after the recovery the row may be there. A part of
 * `npm run faults`, where there is strace and it may trace.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, type Case, pause, until } from './cases/bench.ts';
import { stopFleetsOnSignals } from './fleet.ts';
import { passes } from './one-case.ts';

const TIMES = 2;

/** Its children alone: those that the server starts to recover must be able to flush. */
async function whileFlushesFail(pids: number[], work: () => Promise<unknown>): Promise<void> {
  const args = ['-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO'];
  const tracer = spawn('strace', [...args, ...pids.flatMap((pid) => ['-p', String(pid)])], { stdio: 'ignore' });
  const gone = once(tracer, 'exit');
  try {
    await work();
  } finally {
    tracer.kill(); // most often it has gone with the last of those that it traced
    await gone;
  }
}

async function flushesFail({ fleet }: Bench): Promise<void> {
  const said = (what: RegExp) => [...readFileSync(join(fleet.dir, 'postgres.log'), 'utf8').matchAll(what)].length;
  const panics = () => said(/PANIC: .*could not fdatasync file .*Input\/output error/g);
  const starts = () => said(/database system is ready to accept connections/g);
  const before = { panics: panics(), starts: starts() };
  await whileFlushesFail(fleet.postgres.children(), () =>
    until('a flush has failed', () => panics() > before.panics, 20_000),
  );
  await until('it has recovered', () => starts() > before.starts, 20_000);
}

const failing: Case = {
  name: 'A7 flushes of Postgres fail, twice',
  run: async (bench) => {
    const load = bench.clients.load(50);
    await bench.fault('flushes fail', ['postgres'], async () => {
      for (let i = 0; i < TIMES; i += 1) {
        await pause(1_000);
        await bench.fleet.impairments.during('postgres', 'refusing', () => flushesFail(bench));
      }
    });
    await load.stop();
    await bench.clean();
  },
};

stopFleetsOnSignals();
process.exit((await passes(failing, {}, 'npm run faults -- disk')) ? 0 : 1);

/** Group D, the spool: answers that came while Postgres was away, and the process that held them died. */
import { existsSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from '../supervisor.ts';
import { type Bench, type Case, until } from './bench.ts';

/**
 * `n` prompts are called by one worker, which is cut off from Postgres, writes their answers to its spool and is killed.
 * Meanwhile `harm` is done; then its next process comes up. The other worker has no way to either server until the spool
 * is empty: a lease is long over by then, and whoever came first would rightly call again.
 */
async function diesWithAnswers(bench: Bench, n: number, harm: (files: string[]) => void): Promise<Held> {
  const { fleet } = bench;
  const [holder, ...others] = fleet.byService('worker') as [Instance, ...Instance[]];
  const wires = fleet.wires.get(holder.name)!;
  const away = others.flatMap(({ name }) => Object.values(fleet.wires.get(name)!));
  const dir = join(fleet.dir, 'spool', holder.name);
  const files = () =>
    (existsSync(dir) ? readdirSync(dir) : []).filter((name) => name.endsWith('.answer')).map((name) => join(dir, name));
  for (const wire of away) wire.cut();
  const asked = await bench.asks(n, { emulate: { delayMs: 900 } });
  await until('all are called', () => bench.calls(asked) === n, 10_000);
  wires.postgres.cut();
  // An answer that came before the cut is on record; those that wait for Postgres are what this is about.
  const open = async (): Promise<string[]> => {
    const types = await bench.typesOf(asked);
    return asked.filter((_, i) => types[i]!.at(-1) !== 'PromptCompleted');
  };
  await until('the answers are in the spool', async () => files().length === (await open()).length, 10_000);
  const held = await open();
  if (held.length === 0) throw new Error('no answer was in the spool');
  const { starts } = holder;
  holder.signal('SIGKILL');
  await until('it has ended', () => holder.starts > starts || !holder.isUp, 10_000);
  harm(files());
  wires.postgres.mend();
  await holder.ready();
  await until('its spool is empty', () => files().length === 0, 10_000);
  for (const wire of away) wire.mend();
  await bench.clean();
  return { asked, held };
}

type Held = { asked: string[]; held: string[] };

export const spoolCases: Case[] = [
  {
    name: 'D5 away until the worker was restarted: the spool settles, the provider is not called again',
    run: (bench) =>
      bench.fault('postgres away until a worker restarts', ['postgres', 'worker'], async () => {
        const { asked } = await diesWithAnswers(bench, 8, () => {});
        const calls = bench.calls(asked);
        if (calls !== asked.length) throw new Error(`${asked.length} prompts were called ${calls} times`);
        for (const id of asked) {
          const last = (await bench.types(id)).at(-1);
          if (last !== 'PromptCompleted') throw new Error(`${id} ended with ${last}`);
        }
      }),
  },
  {
    name: 'D6 files of the spool are cut: the attempts end as unknown, nothing loops',
    run: (bench) =>
      bench.fault('spool damaged', ['postgres', 'worker'], async () => {
        const { held } = await diesWithAnswers(bench, 4, (files) => {
          for (const file of files) truncateSync(file, 40);
        });
        for (const id of held) {
          const types = await bench.types(id);
          if (types.at(-1) !== 'PromptCompleted' || !types.includes('AttemptFailed'))
            throw new Error(`${id}: ${types}`);
        }
      }),
  },
];

/** Every fail point of the code, with every action: generated, so that none is forgotten. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from '../supervisor.ts';
import { type Bench, type Case, pause, within } from './bench.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** Names as they stand in the code, sorted. */
export function failPointsInCode(): string[] {
  const files = execFileSync('git', ['ls-files', '--', '*.ts', ':!testing'], { cwd: ROOT, encoding: 'utf8' }).split(
    '\n',
  );
  const names = files
    .filter((file) => file !== '')
    .flatMap((file) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/failPoint\('([a-z_.]+)'\)/g)].map((match) => match[1]!),
    );
  return [...new Set(names)].sort();
}

/** Of tools, which the fleet of the matrix does not run: their own tests crash there. */
export const isOfTool = (point: string): boolean => /^(archive|rebuild)\./.test(point);

/** Which processes pass there. */
const SERVICES: Record<string, string> = {
  api: 'command-api',
  relay: 'command-api',
  sweeper: 'command-api',
  worker: 'worker',
  projector: 'projector',
};
const serviceOf = (point: string) => SERVICES[point.split('.')[0]!]!;

/** What must happen for a point to be passed, where the usual work does not lead there. */
const WAYS: Record<string, (bench: Bench) => Promise<unknown>> = {
  'relay.resynced': async (bench) => {
    await bench.redis((redis) => redis.flushall());
    return bench.work();
  },
  'sweeper.found_lost': async (bench) => {
    const [worker] = bench.fleet.byService('worker') as [Instance];
    const asked = bench.asks(4, { emulate: { faults: ['hang', 'ok'] } });
    const dying = bench.arm(bench.fleet.byService('worker'), 'worker.streaming', 'kill');
    const alsoClaimed = bench.work();
    await Promise.race([dying, pause(3_000)]);
    if (worker.isUp) worker.signal('SIGKILL');
    return Promise.all([asked, alsoClaimed]);
  },
  'sweeper.found_unreadable': async (bench) => {
    // Read by a consumer that is then taken away: the entries sit in the stream, and nobody is given them.
    const wires = bench.fleet.byService('worker').flatMap(({ name }) => bench.fleet.wires.get(name)?.redis ?? []);
    for (const wire of wires) wire.cut();
    const asked = bench.asks(4);
    await pause(500);
    await bench.redis(async (redis) => {
      await redis.xgroup('CREATE', 'tasks', 'workers', '0', 'MKSTREAM').catch((error: Error) => {
        if (!error.message.startsWith('BUSYGROUP')) throw error; // it is there, most often
      });
      await redis.xreadgroup('GROUP', 'workers', 'nemesis', 'COUNT', 100, 'STREAMS', 'tasks', '>');
      await redis.xgroup('DELCONSUMER', 'tasks', 'workers', 'nemesis');
    });
    for (const wire of wires) wire.mend();
    return asked;
  },
  'worker.spooled': async (bench) => {
    const asked = await bench.asks(4, { emulate: { delayMs: 500 } });
    await pause(250);
    const wires = bench.fleet.byService('worker').map(({ name }) => bench.fleet.wires.get(name)!.postgres);
    for (const wire of wires) wire.cut();
    setTimeout(() => {
      for (const wire of wires) wire.mend();
    }, 2_500);
    return asked;
  },
};

type PointAction = 'kill' | 'stop' | 'wipe' | 'throw';
/** A throw where the code cannot throw would test nothing that happens. */
const THROWS = /^(api|relay|sweeper|projector)\./;

export function failPointCases(points: string[]): Case[] {
  return points
    .filter((point) => !isOfTool(point))
    .flatMap((point) => {
      const actions: PointAction[] = ['kill', 'stop', 'wipe', ...(THROWS.test(point) ? (['throw'] as const) : [])];
      return actions.map((action) => ({
        name: `${point} ${action}`,
        points: [point],
        run: (bench: Bench) => at(bench, point, action),
      }));
    });
}

async function at(bench: Bench, point: string, action: PointAction): Promise<void> {
  const { fleet } = bench;
  const service = serviceOf(point);
  // The way to this one leads over a worker's death.
  const hits = point === 'sweeper.found_lost' ? [service, 'worker'] : [service];
  await bench.fault(`${point} ${action}`, hits, async () => {
    const reached = bench.arm(fleet.byService(service), point, action === 'wipe' ? 'stop' : action);
    const way = (WAYS[point] ?? ((one: Bench) => one.work()))(bench);
    way.catch(() => {}); // awaited below, unless the point is not reached
    await within(`${point} is reached`, 10_000, reached);
    if (action === 'wipe') {
      await bench.redis((redis) => redis.flushall());
      for (const one of fleet.byService(service)) one.signal('SIGCONT'); // two may have got there at once
    } else if (action === 'stop') {
      await pause(bench.leaseMs * 1.6);
      for (const one of fleet.byService(service)) one.signal('SIGCONT'); // two may have got there at once
    }
    await way;
  });
  await bench.clean();
}

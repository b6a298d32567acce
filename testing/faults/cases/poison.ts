/** Group D: a prompt that ends whichever worker takes it. */
import { RETRIES } from '../fleet.ts';
import { type Bench, type Case, until } from './bench.ts';

/** The default of MAX_ATTEMPTS. */
const ATTEMPTS = 4;
/** The defaults: those that were lost together part by seconds. */
const AS_SERVED = { RETRY_BASE_SECONDS: '1', RETRY_CAP_SECONDS: '30' };
/** Until every worker knows it, also where the ask has to be sent again. */
const TAKEN_AFTER_MS = 6_000;

async function poisoned(bench: Bench): Promise<void> {
  const { fleet } = bench;
  const workers = fleet.byService('worker');
  const starts = () => workers.reduce((sum, one) => sum + one.starts, 0);
  const before = starts();
  const notBefore = new Date(Date.now() + TAKEN_AFTER_MS).toISOString();
  const [poison] = (await bench.asks(1, { fields: { notBefore } })) as [string];
  for (const one of workers) one.send({ poison });
  const others = await othersUntilEnded(bench, poison);
  const events = await fleet.query<{ type: string; end: string | null; code: string | null }>(
    `SELECT type, data ->> 'end' AS end, data ->> 'code' AS code FROM event WHERE stream_id = $1 ORDER BY version`,
    [poison],
  );
  const lost = events.filter(({ end }) => end === 'lost').length;
  const last = events.at(-1);
  if (lost !== ATTEMPTS || last?.type !== 'PromptFailed' || last.code !== 'attempts_exhausted')
    throw new Error(`the poison was lost ${lost} times: ${JSON.stringify(events)}`);
  const calls = bench.calls([poison]);
  if (calls > 0) throw new Error(`the provider was called ${calls} times for it`);
  // It is armed still: nobody takes it any more.
  const asked = await bench.asks(10, { emulate: { delayMs: 100 } });
  await untilEnded(bench, [...others, ...asked]);
  await Promise.all(workers.map((one) => one.ready()));
  if (starts() - before !== lost)
    throw new Error(`${lost} attempts were lost, workers began ${starts() - before} times`);
  const ends = await bench.typesOf([...others, ...asked]);
  const withIt = ends.filter((types) => types.includes('AttemptFailed'));
  const failed = ends.filter((types) => types.at(-1) !== 'PromptCompleted');
  // Whoever was with it each time has used up its attempts as well: calls that may have been paid for. They part at random.
  const given = (types: string[]) => types.filter((type) => type === 'AttemptFailed').length >= ATTEMPTS;
  if (withIt.length < 5) throw new Error(`only ${withIt.length} prompts were with the poison`);
  if (!failed.every(given) || failed.length > 1)
    throw new Error(`${failed.length} of ${withIt.length} that were with it did not recover: ${failed[0]}`);
}

/** Asks for other prompts all the while, so that some are with it whenever a worker dies. */
async function othersUntilEnded(bench: Bench, poison: string): Promise<string[]> {
  const asked: Promise<string[]>[] = [];
  const timer = setInterval(() => {
    // Some five under way at each worker.
    const more = bench.asks(2, { emulate: { delayMs: 900 } });
    more.catch(() => {}); // awaited below
    asked.push(more);
  }, 200);
  try {
    await untilEnded(bench, [poison]);
  } finally {
    clearInterval(timer);
  }
  return (await Promise.all(asked)).flat();
}

const untilEnded = ({ fleet }: Bench, ids: string[]) =>
  until(
    'they have ended',
    async () => {
      const [row] = await fleet.query<{ n: number }>(
        'SELECT count(*)::integer AS n FROM outbox WHERE prompt_id = ANY($1)',
        [ids],
      );
      return row?.n === 0;
    },
    90_000,
  );

export const poisonCases: Case[] = [
  {
    name: 'D7 a prompt that ends whichever worker takes it: it fails after its attempts, those that were with it recover',
    isLong: true,
    run: async (bench) => {
      const waitAs = async (env: Record<string, string>) => {
        await Promise.all(bench.fleet.byService('command-api').map((one) => one.restart({ env })));
        await bench.fleet.up();
      };
      await bench.fault('a poison', ['worker', 'command-api'], async () => {
        await waitAs(AS_SERVED);
        try {
          await poisoned(bench);
        } finally {
          await waitAs(RETRIES);
        }
      });
      await bench.clean();
    },
  },
];

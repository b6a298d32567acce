/** Users who ask, follow, cancel and err, so that everything that is measured happens. */
import type { Client } from '../../client/client.ts';
import { createRandom } from '../kit/random.ts';

export type LoadOptions = {
  /** Of each user, to the command-api and to the query-api. */
  users: { commands: Client; queries: Client }[];
  /** An address and key for what no client of ours would send. */
  raw: { address: string; key: string };
  seconds: number;
  seed: number;
};

const MODELS = ['gemini-2.5-flash', 'gemini-2.5-pro'] as const;
/** Its quota of the day is used up. */
export const REFUSED = 'gemini-2.5-flash-lite';
const LANES = ['interactive', 'normal', 'batch'] as const;
const EVERY_MS = 60;

const directive = (fields: object) => `[[emulate ${JSON.stringify(fields)}]]`;
const answer = { chunks: 4, chunkDelayMs: 15, inputTokens: 300, cachedTokens: 40, outputTokens: 80, thoughtTokens: 12 };

/** What most prompts do, and now and then another thing. */
function promptOf(n: number): string {
  if (n % 11 === 3) return `busy ${n} ${directive({ ...answer, fault: '503', times: 1 })}`;
  if (n % 13 === 5) return `blocked ${n} ${directive({ fault: 'safety' })}`;
  if (n % 17 === 7) return `silent about its cost ${n} ${directive({ ...answer, fault: 'no-usage' })}`;
  return `question ${n} ${directive(answer)}`;
}

/** Asks for so long, one after the other; how many were accepted. */
export async function makeLoad({ users, raw, seconds, seed }: LoadOptions): Promise<number> {
  const random = createRandom(seed);
  const until = performance.now() + seconds * 1000;
  const refused = users[0]!.commands;
  const soon = (ms: number) => new Date(Date.now() + ms).toISOString();
  await refused.ask({ prompt: `refused ${directive({ fault: '429-daily' })}`, model: REFUSED });
  await refused.ask({ prompt: 'too late', model: REFUSED, expiresAt: soon(3_000) });
  let accepted = 2;
  for (let n = 0; performance.now() < until; n += 1) {
    const next = performance.now() + EVERY_MS;
    const { commands, queries } = users[n % users.length]!;
    const { id } = await commands.ask({
      prompt: promptOf(n),
      model: random.pick(MODELS),
      lane: random.pick(LANES),
      ...(n % 19 === 9 && { notBefore: soon(600_000) }),
    });
    accepted += 1;
    if (n % 19 === 9) await commands.cancel(id);
    if (n % 7 === 0) await queries.prompt(id, { wait: 1 });
    if (n % 23 === 0) await sendNonsense(raw);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
  }
  return accepted;
}

/** Refusals of several kinds, at addresses that there are and that there are not. */
async function sendNonsense({ address, key }: LoadOptions['raw']): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const send = (path: string, body: object, of: Record<string, string> = headers) =>
    fetch(`${address}${path}`, { method: 'POST', headers: of, body: JSON.stringify(body) });
  await send('/ask', { prompt: 'without a key' }, { 'content-type': 'application/json' });
  await send('/ask', { prompt: 'of no model', model: 'none' });
  await send(`/nowhere/${Math.random()}`, {});
}

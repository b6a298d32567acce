/** `npm run watch`: the live feed, a line for each event. */
import { Command, InvalidArgumentError } from 'commander';
import { createClient } from '../client/client.ts';
import { openLive } from '../client/live.ts';
import type { EventFrame } from '../contracts/feed/frames.ts';
import { printable } from './printable.ts';
import { apiTarget, cliConfig, runTool } from './target.ts';

const program = new Command('watch')
  .description('follow the live feed')
  .option('--url <url>', 'address of the API; default: the embedded stack’s')
  .option('--key <key>', 'API key; default: the embedded stack’s')
  .option('--after <position>', 'begin after this position', positionOf)
  .option('--prompt <id>', 'one prompt only');

await runTool(async () => {
  const options = program.parse().opts<{ url?: string; key?: string; after?: number; prompt?: string }>();
  const target = apiTarget(cliConfig(), options);
  const client = createClient(target);
  await client.models(); // a wrong address or key is said at once
  const live = openLive({
    baseUrl: target.baseUrl,
    ticket: async () => (await client.ticket()).ticket,
    ...(options.after !== undefined && { after: options.after }),
    ...(options.prompt !== undefined && { promptId: options.prompt }),
    onFrame: (frame) => {
      if (frame.type === 'event') console.log(lineOf(frame));
      if (frame.type === 'resync') console.log(`… too much was missed; going on from position ${frame.position}`);
    },
    onState: (state, detail) => console.error(state === 'waiting' ? `feed ${detail}; coming back …` : `feed ${state}`),
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, live.close);
});

function positionOf(text: string): number {
  const position = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(position)) throw new InvalidArgumentError('must be a position');
  return position;
}

function lineOf({ position, event, prompt }: EventFrame): string {
  const outcome = prompt.error ? `${prompt.error.code}: ${prompt.error.message}` : (prompt.answer ?? prompt.prompt);
  const cost = prompt.cost ? `${prompt.cost.usd} USD` : '';
  const text = printable(outcome.slice(0, 100));
  return [String(position).padStart(7), event.padEnd(16), prompt.id, prompt.userId, prompt.model, cost, text]
    .filter(Boolean)
    .join('  ');
}

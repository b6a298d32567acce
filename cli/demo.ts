/** `npm run demo`: the 80 MT-Bench prompts from several users and models through the running system, then who spent what. */
import { readFileSync } from 'node:fs';
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { Command } from 'commander';
import { createClient } from '../client/client.ts';
import { openLive } from '../client/live.ts';
import { createKey } from '../platform/postgres/api-keys.ts';
import { openClient } from '../platform/postgres/client.ts';
import { apiTarget, CliError, cliConfig, postgresUri, runTool } from './target.ts';

const USERS = ['ada', 'grace', 'linus', 'margaret', 'ken'];
const MODELS = ['gemini-2.5-flash', 'gemini-2.5-flash-lite', 'gemini-2.5-pro', 'gemini-3.5-flash'];
const QUESTIONS = new URL('../testing/data/mt-bench-questions.jsonl', import.meta.url);

type Amount = { usd: string };
type UserRow = {
  userId: string;
  prompts: number;
  completed: number;
  failed: number;
  inputTokens: number;
  outputTokens: number;
  cost: { confirmed: Amount; wasted: Amount; unknownBound: Amount };
};
type ModelRow = {
  model: string;
  prompts: number;
  users: number;
  share: number;
  inputTokens: number;
  outputTokens: number;
  cost: Amount;
};

const program = new Command('demo')
  .description('80 prompts through the running stack')
  .option('--wait <seconds>', 'give up after', Number, 120);

await runTool(async () => {
  const { wait } = program.parse().opts<{ wait: number }>();
  const config = cliConfig();
  const { baseUrl, apiKey } = apiTarget(config, {});
  const admin = createClient({ baseUrl, apiKey });
  const served = new Set((await admin.models()).data.map(({ model }) => model));
  const models = MODELS.filter((model) => served.has(model));
  if (models.length === 0) throw new CliError(`None of ${MODELS.join(', ')} is served: see GET /models.`);
  const keys = await userKeys(postgresUri(config));
  const questions = readFileSync(QUESTIONS, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { turns: [string] }).turns[0]);

  const bar = new SingleBar({
    format: 'answered {bar} {value}/{total} | {eta_formatted} left',
    clearOnComplete: false,
    linewrap: null, // else a demo that is broken off leaves the terminal without
  });
  bar.start(questions.length, 0);
  const open = new Set<string>();
  const ended = new Set<string>();
  let finish = () => {};
  const all = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const live = openLive({
    baseUrl,
    ticket: async () => (await admin.ticket()).ticket,
    after: (await admin.stats('users')).position,
    onFrame: (frame) => {
      if (frame.type !== 'event' || frame.prompt.finishedAt === null) return;
      ended.add(frame.promptId);
      bar.update([...open].filter((id) => ended.has(id)).length);
      if (open.size === questions.length && [...open].every((id) => ended.has(id))) finish();
    },
    onState: () => {},
  });
  for (const [i, prompt] of questions.entries()) {
    const client = createClient({ baseUrl, apiKey: keys[i % keys.length]! });
    // Uneven on purpose: popularity is worth looking at only when it differs.
    const model = models[Math.floor(Math.sqrt(i % (models.length * models.length)))]!;
    open.add((await client.ask({ prompt, model })).id);
  }
  if ([...open].every((id) => ended.has(id))) finish();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new CliError(`Not all prompts ended within ${wait} s: see npm run watch.`)),
      wait * 1000,
    );
  });
  try {
    await Promise.race([all, late]);
    bar.update(questions.length);
  } finally {
    clearTimeout(timer);
    bar.stop();
    live.close();
  }
  await report(admin);
});

async function report(admin: ReturnType<typeof createClient>): Promise<void> {
  const [users, popularity] = await Promise.all([admin.stats<UserRow>('users'), admin.stats<ModelRow>('models')]);
  // Colours only where somebody sees them.
  const style = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };
  const costs = new Table({
    ...style,
    head: [
      'user',
      'prompts',
      'completed',
      'failed',
      'tokens in',
      'tokens out',
      'confirmed USD',
      'wasted USD',
      'unknown ≤ USD',
    ],
  });
  for (const row of users.data) {
    const { confirmed, wasted, unknownBound } = row.cost;
    costs.push([
      row.userId,
      row.prompts,
      row.completed,
      row.failed,
      row.inputTokens,
      row.outputTokens,
      confirmed.usd,
      wasted.usd,
      unknownBound.usd,
    ]);
  }
  const models = new Table({
    ...style,
    head: ['model', 'prompts', 'share', 'users', 'tokens in', 'tokens out', 'USD'],
  });
  for (const row of popularity.data) {
    models.push([
      row.model,
      row.prompts,
      `${(row.share * 100).toFixed(1)} %`,
      row.users,
      row.inputTokens,
      row.outputTokens,
      row.cost.usd,
    ]);
  }
  console.log(`\nCost per user, at position ${users.position}:\n${costs}\n\nPopularity of models:\n${models}`);
}

async function userKeys(uri: string): Promise<string[]> {
  const client = await openClient({ uri, name: 'demo', connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 });
  try {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const keys: string[] = [];
    for (const userId of USERS)
      keys.push((await createKey(client, { userId, role: 'user', name: 'demo', expiresAt })).key);
    return keys;
  } finally {
    await client.end();
  }
}

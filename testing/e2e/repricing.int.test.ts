/** `npm run replay -- --prices` and `--what-if` on what a running system has recorded. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Usage } from '../../contracts/usage.ts';
import { cleanup } from '../kit/cleanup.ts';
import { run } from '../kit/process.ts';
import { type Provider, startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
const folder = mkdtempSync(join(tmpdir(), 'repricing-'));
t.after(async () => rmSync(folder, { recursive: true }));
const PAGE = join(import.meta.dirname, '../../doc/how-to/re-price-history.md');
const page = readFileSync(PAGE, 'utf8');
/** Indented blocks, as they are to be copied or as they are printed; an empty line within is part of one. */
const blocks = [...page.matchAll(/(?:^ {4}.*\n(?:\n(?= {4}[┌]))?)+/gm)].map(([block]) => block.replace(/^ {4}/gm, ''));
const file = join(folder, 'cheaper.json');
let stack: TestStack;

type Script = { usage: Partial<Usage> | null; wasted?: Partial<Usage>; emulated?: boolean };
const toUsage = (given: Partial<Usage>): Usage => {
  const counts = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, thoughtTokens: 0, ...given };
  return { ...counts, totalTokens: counts.inputTokens + counts.outputTokens + counts.thoughtTokens };
};
/** Does what the prompt says: a first call for nothing, an answer, or neither a word nor a bill. */
const provider: Provider = {
  name: 'scripted',
  generate: async ({ prompt, attemptId }) => {
    const { usage, wasted, emulated = false } = JSON.parse(prompt) as Script;
    const billed = (tokens: Partial<Usage>) => ({ known: true, usage: toUsage(tokens), rawUsage: null }) as const;
    if (wasted && attemptId.endsWith('/1'))
      return { type: 'retry', code: 'provider_overloaded', message: '', billing: billed(wasted), emulated };
    if (usage === null)
      return {
        type: 'unknown',
        code: 'connection_lost',
        message: '',
        billing: { known: false, rawUsage: null },
        emulated,
      };
    const answer = { answer: 'so', finishReason: 'STOP', truncated: false, modelVersion: null };
    return { type: 'completed', ...answer, billing: billed(usage), emulated };
  },
};

before(async () => {
  writeFileSync(file, blocks.find((block) => block.startsWith('{'))!);
  stack = await startTestStack(t, { provider, env: { RETRY_BASE_SECONDS: '0' } });
  const ask = async (user: string, model: string, script: Script) => {
    const client = await stack.client(user);
    const { id } = await client.ask({ prompt: JSON.stringify(script), model, retry: script.usage ? 'auto' : 'never' });
    await client.prompt(id, { wait: 10 });
  };
  const question = { inputTokens: 374, outputTokens: 44 };
  await ask('ada', 'gemini-2.5-flash', { usage: question });
  await ask('ada', 'gemini-2.5-flash', { usage: question, wasted: { inputTokens: 374 } });
  const long = { inputTokens: 250_000, cachedInputTokens: 200_000, outputTokens: 500, thoughtTokens: 100 };
  await ask('ada', 'gemini-2.5-pro', { usage: long });
  await ask('grace', 'gemini-2.5-flash', { usage: { inputTokens: 1_000, outputTokens: 200 } });
  await ask('grace', 'gemini-2.5-flash', { usage: null });
  await ask('lin', 'gemini-2.5-flash', { usage: question, emulated: true });
});

async function replay(...args: string[]): Promise<{ code: number | null; said: string }> {
  const env = { POSTGRES_URI: stack.database.uri, DATA_DIR: folder };
  const running = run(t, ['cli/replay.ts', ...args], env);
  return { code: await running.exit, said: running.said() };
}
/** On a slow machine there are some: `run` hands over both outputs in one. */
const withoutProgress = (said: string) => said.replace(/^\d+ of \d+ events, .*\n/gm, '');
async function answered(...args: string[]): Promise<string> {
  const { code, said } = await replay(...args);
  assert.equal(code, 0, said);
  return withoutProgress(said);
}

type Amount = { nanoUsd: number; usd: string };
type Sums = { confirmed: Amount; wasted: Amount; unknownBound: Amount; unknownAttempts: number };
type Both = { prompts: number; attempts: number; asCharged: Sums; rerated: Sums; difference: Amount };
type Report = {
  position: number;
  data: (Both & { userId: string; model: string; notional: boolean })[];
  total: Both;
  notionalTotal: Both;
};
const report = async (...args: string[]) => JSON.parse(await answered(...args, '--json')) as Report;
const amounts = ({ confirmed, wasted, unknownBound, unknownAttempts }: Sums) => [
  confirmed.nanoUsd,
  wasted.nanoUsd,
  unknownBound.nanoUsd,
  unknownAttempts,
];

/** Of everything in the database, row by row. */
async function everything(): Promise<string[]> {
  const { rows: tables } = await stack.database.pool.query<{ name: string }>(
    `SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`,
  );
  assert.ok(tables.length > 8);
  return Promise.all(
    tables.map(async ({ name }) => {
      // The live stack's own reports of who works.
      if (name === 'worker') return name;
      const text = `SELECT md5(string_agg(t::text, '' ORDER BY t::text)) AS sum FROM ${name} t`;
      return `${name} ${(await stack.database.pool.query<{ sum: string }>(text)).rows[0]?.sum}`;
    }),
  );
}

test('what was charged is what the accounts say, and what it would be is what hand and paper say', async () => {
  const { data, total, notionalTotal, position } = await report('--prices', file, '--dry-run');
  const flash = (input: number, output: number) => 150 * input + 1_250 * output;
  const [adaFlash, adaPro, grace, lin] = data;
  assert.deepEqual(
    data.map(({ userId, model, notional, prompts, attempts }) => [userId, model, notional, prompts, attempts]),
    [
      ['ada', 'gemini-2.5-flash', false, 2, 3],
      ['ada', 'gemini-2.5-pro', false, 1, 1],
      ['grace', 'gemini-2.5-flash', false, 2, 2],
      ['lin', 'gemini-2.5-flash', true, 1, 1],
    ],
  );
  assert.deepEqual(amounts(adaFlash!.asCharged), [2 * (374 * 300 + 44 * 2_500), 374 * 300, 0, 0]);
  assert.deepEqual(amounts(adaFlash!.rerated), [2 * flash(374, 44), flash(374, 0), 0, 0]);
  const pro = 50_000 * 2_500 + 200_000 * 250 + 600 * 15_000;
  assert.deepEqual(
    [amounts(adaPro!.asCharged), amounts(adaPro!.rerated)],
    [
      [pro, 0, 0, 0],
      [pro, 0, 0, 0],
    ],
  );
  // Bytes and 64 more at input price, 65,536 tokens at output price.
  const bytes = Buffer.byteLength(JSON.stringify({ usage: null })) + 64;
  assert.deepEqual(amounts(grace!.asCharged), [1_000 * 300 + 200 * 2_500, 0, bytes * 300 + 65_536 * 2_500, 1]);
  assert.deepEqual(amounts(grace!.rerated), [flash(1_000, 200), 0, flash(bytes, 65_536), 1]);
  assert.deepEqual(amounts(lin!.rerated), [flash(374, 44), 0, 0, 0]);
  assert.equal(total.prompts, 5);
  assert.equal(total.asCharged.confirmed.nanoUsd, adaFlash!.asCharged.confirmed.nanoUsd + pro + 800_000);
  assert.equal(total.difference.nanoUsd, -(3 * 374 * 150 + 2 * 44 * 1_250 + 1_000 * 150 + 200 * 1_250));
  assert.deepEqual(amounts(notionalTotal.rerated), amounts(lin!.rerated));

  const admin = await stack.client('root', 'admin');
  const stats = await admin.stats<{ userId: string; cost: Omit<Sums, 'unknownAttempts'> }>('users', {
    emulated: 'include',
    minPosition: position,
  });
  for (const { userId, cost } of stats.data) {
    const own = data.filter((row) => row.userId === userId);
    for (const name of ['confirmed', 'wasted', 'unknownBound'] as const)
      assert.equal(
        own.reduce((sum, { asCharged }) => sum + asCharged[name].nanoUsd, 0),
        cost[name].nanoUsd,
      );
  }
});

test('changes nothing, and needs no right to', async () => {
  const login = `replay_reader_${process.pid}`;
  const { pool, uri } = stack.database;
  await pool.query(`CREATE ROLE ${login} LOGIN PASSWORD 'reads'; GRANT SELECT ON event, log_head TO ${login}`);
  t.after(async () => {
    await pool.query(`DROP OWNED BY ${login}; DROP ROLE ${login}`);
  });
  const reader = new URL(uri);
  reader.username = login;
  reader.password = 'reads';
  await until('the ledger is posted', async () => {
    const { rows } = await pool.query('SELECT l.position = h.position AS done FROM ledger_head l, log_head h');
    return rows[0].done;
  });
  const before = await everything();
  const running = run(t, ['cli/replay.ts', '--prices', file, '--dry-run'], { POSTGRES_URI: reader.href });
  assert.equal(await running.exit, 0, running.said());
  assert.deepEqual(await everything(), before);
});

test('another model is rated at its prices, alone or for all', async () => {
  const lite = (input: number, output: number) => 100 * input + 400 * output;
  const all = await report('--what-if', 'gemini-2.5-flash-lite', '--dry-run');
  assert.deepEqual(amounts(all.data[1]!.rerated), [50_000 * 100 + 200_000 * 10 + 600 * 400, 0, 0, 0]);
  assert.deepEqual(amounts(all.data[0]!.rerated), [2 * lite(374, 44), lite(374, 0), 0, 0]);
  const one = await report('--what-if', 'gemini-2.5-pro=gemini-2.5-flash-lite', '--prices', file, '--dry-run');
  assert.deepEqual(one.data[1]!.rerated, all.data[1]!.rerated);
  assert.deepEqual(one.data[0]!.rerated, (await report('--prices', file, '--dry-run')).data[0]!.rerated);
});

test('reads no further than --until', async () => {
  const { position, total } = await report('--prices', file, '--dry-run', '--until', '3');
  assert.deepEqual([position, total.prompts, total.attempts], [3, 1, 1]);
  for (const [until, said] of [
    ['2020-01-01T00:00:00Z', 'The log has no event until 2020-01-01T00:00:00.000Z.'],
    ['9999-01-01T00:00:00Z', '9999-01-01T00:00:00.000Z is yet to come.'],
    ['999999', `The log ends at position ${(await report('--prices', file, '--dry-run')).position}, before 999999.`],
    ['0', 'Positions begin at 1.'],
  ] as const)
    for (const how of [['--dry-run'], []]) {
      const refused = await replay('--what-if', 'gemini-2.5-flash-lite', ...how, '--until', until);
      assert.deepEqual([refused.code, refused.said.trim()], [1, said]);
    }
});

test('CSV has a line for each user and model', async () => {
  const lines = (await answered('--prices', file, '--dry-run', '--csv')).split('\r\n');
  assert.equal(lines.pop(), '');
  assert.equal(lines.length, 5);
  assert.match(
    lines[0]!,
    /^userId,model,notional,prompts,attempts,chargedConfirmedNanoUsd,.*,reratedUnboundedAttempts,correctedRatedByTokens,correctedUnknown$/,
  );
  assert.equal(lines[1], 'ada,gemini-2.5-flash,false,2,3,444400,112200,0,0,0,222200,56100,0,0,0,0,0');
});

test('without --dry-run the same amounts become a version that is kept apart, and what is served stays', async () => {
  const { data } = await report('--prices', file, '--dry-run');
  const served = async () => (await stack.database.pool.query('SELECT version FROM live_projection')).rows;
  const before = await served();
  const said = await answered('--prices', file);
  const [, version] = /Version (\d+) of prompts .*: kept apart; it is not served\.\n$/.exec(said) ?? [];
  assert.ok(version, said);
  assert.deepEqual(await served(), before);
  const { rows } = await stack.database.pool.query(
    `SELECT user_id AS "userId", model, emulated AS notional, confirmed_nano_usd::bigint AS confirmed,
            wasted_nano_usd::bigint AS wasted, unknown_bound_nano_usd::bigint AS "unknownBound"
       FROM usage_v${version} WHERE level = 5`,
  );
  const told = data.map(({ userId, model, notional, rerated }) => ({
    userId,
    model,
    notional,
    confirmed: rerated.confirmed.nanoUsd,
    wasted: rerated.wasted.nanoUsd,
    unknownBound: rerated.unknownBound.nanoUsd,
  }));
  const sorted = (all: { userId: string; model: string }[]) =>
    all.toSorted((a, b) => (`${a.userId} ${a.model}` < `${b.userId} ${b.model}` ? -1 : 1));
  assert.deepEqual(sorted(rows), sorted(told));
  assert.match(
    await answered('--list'),
    new RegExp(`version ${version}, ready, ends at \\d+, prices genai-prices@\\S+`),
  );
  assert.match(await answered('--drop', version), /is dropped/);
  const refused = await replay('--drop', String(before[0].version));
  assert.equal(refused.code, 1);
  assert.match(refused.said, /is served: it stays/);
});

function replaceBlock(block: string, printed: string): void {
  const indented = (text: string) => text.replace(/^(?=.)/gm, '    ');
  writeFileSync(PAGE, readFileSync(PAGE, 'utf8').replace(indented(block), indented(printed)));
}

describe('the how-to page shows what is printed', () => {
  const dated = (text: string) => text.replace(/position \d+, [^;]+;/, 'position 21, 2026-11-25T22:40:44.123Z;');
  const shown: [command: string, begins: string][] = [
    ['--prices cheaper.json --dry-run', 'The log up to'],
    ['--what-if gemini-2.5-pro=gemini-2.5-flash --dry-run --csv', 'userId,'],
  ];
  for (const [command, begins] of shown)
    test(command, async () => {
      assert.ok(page.includes(`    npm run replay -- ${command}\n`), command);
      const args = command.split(' ').map((arg) => (arg === 'cheaper.json' ? file : arg));
      const printed = dated(await answered(...args)).replaceAll('\r', '');
      const block = blocks.find((one) => one.startsWith(begins)) ?? '';
      if (process.env['UPDATE_DOCS'] === '1') replaceBlock(block, printed);
      else assert.equal(block, printed, 'run "npm run docs"');
    });
});

describe('the how-to page keeps versions and asks them', () => {
  /** As on the page, wherever the numbers stand by now. */
  const numbers = new Map<string, string>();
  let key: string;
  before(async () => {
    key = await stack.key('root', 'admin');
  });
  const lines = page
    .slice(page.indexOf('## Keep it'))
    .split('\n')
    .filter((line) => line.startsWith('    '));
  const commands = lines.map((line) => line.trim()).filter((line) => /^(npm|curl) /.test(line));
  const printedAfter = (command: string) => lines[lines.indexOf(`    ${command}`) + 1]?.trim() ?? '';

  async function curl(command: string): Promise<Response> {
    const [, path] =
      /^curl -s "http:\/\/127\.0\.0\.1:8080(\/\S+)" -H "authorization: Bearer \$KEY"$/.exec(command) ?? [];
    assert.ok(path, command);
    const asked = path.replace(/(?<=version=)\d+/, (number) => numbers.get(number)!);
    return fetch(new URL(asked, stack.address), { headers: { authorization: `Bearer ${key}` } });
  }

  test('with commands that do what they say, in the order of the page', async () => {
    const told = { prices: '', whatIf: '' };
    for (const command of commands) {
      if (command.startsWith('curl')) {
        const response = await curl(command);
        const body = await response.text();
        assert.equal(response.status, 200, body);
        if (command.includes('format=csv')) {
          const printed = body.replaceAll('\r', '');
          const block = blocks.find((one) => one.startsWith('model,')) ?? '';
          if (process.env['UPDATE_DOCS'] === '1') replaceBlock(block, printed);
          else assert.equal(block, printed, 'run "npm run docs"');
          assert.equal(response.headers.get('x-prices'), told.prices);
          const { data } = await report('--prices', file, '--dry-run');
          for (const model of new Set(data.map((row) => row.model))) {
            const own = data.filter((row) => row.model === model && !row.notional).map(({ rerated }) => rerated);
            const nano = own.reduce((sum, { confirmed, wasted }) => sum + confirmed.nanoUsd + wasted.nanoUsd, 0);
            assert.match(body, new RegExp(`^${model},.*,${nano},`, 'm'));
          }
        } else {
          const answer = JSON.parse(body) as { prices: string; data: { userId: string; cost: Sums }[] };
          assert.equal(answer.prices, told.whatIf);
          assert.equal(
            answer.data.find(({ userId }) => userId === 'ada')!.cost.confirmed.nanoUsd,
            444_400 + 22_500_000,
          );
        }
        continue;
      }
      const [, text = ''] = /^npm run replay -- (.+)$/.exec(command) ?? [];
      const args = text.split(' ').map((arg) => (arg === 'cheaper.json' ? file : (numbers.get(arg) ?? arg)));
      const said = await answered(...args);
      const [, number = ''] = /^Version (\d+) of prompts at position/m.exec(said) ?? [];
      const [, shown = ''] = /^Version (\d+) /.exec(printedAfter(command)) ?? [];
      assert.equal(number === '', shown === '', said);
      if (number !== '') numbers.set(shown, number);
      const { data } = await (await stack.client('root', 'admin')).projections();
      const prices = data[0]!.versions.map((one) => one.prices ?? '');
      if (text.startsWith('--prices')) told.prices = prices.find((name) => name.includes('cheaper.json#'))!;
      if (text.startsWith('--what-if')) told.whatIf = prices.find((name) => name.includes('--what-if'))!;
      if (text === '--list') for (const name of prices) assert.ok(said.includes(name));
      if (text.startsWith('--drop'))
        assert.equal((await curl(commands.find((one) => one.includes('csv'))!)).status, 404);
    }
    assert.deepEqual([...numbers.keys()], ['2', '3']);
    assert.equal(told.whatIf.endsWith(' --what-if gemini-2.5-pro=gemini-2.5-flash'), true);
  });
});

describe('says what is wrong in one message, and exits 1', () => {
  const mistakes: [args: string[], said: RegExp][] = [
    [
      ['--prices', 'none.json', '--dry-run'],
      /^The price file none\.json is not valid:\n {2}cannot be read: ENOENT[^\n]*$/,
    ],
    [['--what-if', 'gpt-9'], /^The prices have no model "gpt-9"\. They have: gemini-[^\n]*, gemini-2\.5-pro, [^\n]*$/],
    [['--what-if', 'gpt-9=gemini-2.5-pro'], /^Neither the prices nor any prompt know the model "gpt-9"\.$/],
    [['--json', '--csv', '--what-if', 'gemini-2.5-pro'], /^Either --json or --csv, not both\.$/],
    [['--prices', file, '--json'], /^--json goes with --dry-run, and --prices or --what-if\.$/],
    [['--what-if', 'gemini-2.5-pro', '--csv'], /^--csv goes with --dry-run, and --prices or --what-if\.$/],
    [['--prices', file, '--dry-run', '--lanes', '2'], /^--lanes and --anew are for a version that is built: not with /],
    [['--what-if', 'gemini-2.5-pro', '--dry-run', '--anew'], /^--lanes and --anew are for a version that is built/],
    [
      ['--prices', file, '--accept-differences'],
      /^--accept-differences is for what may be served: not with --prices, /,
    ],
    [['--what-if', 'gemini-2.5-pro', '--accept-differences'], /^--accept-differences is for what may be served/],
  ];
  for (const [args, said] of mistakes)
    test(args.map((arg) => (arg === file ? 'FILE' : arg)).join(' '), async () => {
      const result = await replay(...args);
      assert.equal(result.code, 1, result.said);
      assert.match(withoutProgress(result.said).trimEnd(), said);
    });

  test('a price file with faults, all of them', async () => {
    const bad = join(folder, 'bad.json');
    writeFileSync(bad, '{"models":[{"model":"m","prices":[{"inputPerMillion":1,"outputPerMillion":"-1"}]}]}');
    const { code, said } = await replay('--prices', bad, '--dry-run');
    assert.equal(code, 1);
    assert.deepEqual(said.trimEnd().split('\n'), [
      `The price file ${bad} is not valid:`,
      '  /models/0/prices/0/inputPerMillion: must be a string, "0.30": JSON’s numbers are not exact',
      '  /models/0/prices/0/outputPerMillion: must not be negative',
    ]);
  });
});

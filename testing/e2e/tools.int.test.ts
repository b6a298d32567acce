/** The command-line tools against a running system. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { run } from '../kit/process.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
let stack: TestStack;
let dataDir: string;
before(async () => {
  stack = await startTestStack(t);
  dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-tools-'));
  t.after(async () => rmSync(dataDir, { recursive: true }));
});

const start = (tool: string, args: string[], env: Record<string, string> = {}) =>
  run(t, [`cli/${tool}.ts`, ...args], { POSTGRES_URI: stack.database.uri, DATA_DIR: dataDir, ...env });
async function tool(name: string, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const running = start(name, args);
  return { code: await running.exit, said: running.said() };
}
const status = async (key: string) =>
  (await fetch(new URL('/prompts', stack.address), { headers: { authorization: `Bearer ${key}` } })).status;

describe('keys', () => {
  test('makes a key that works, lists it without its secret, and ends it', async () => {
    const made = await tool('keys', 'create', '--user', 'ada', '--role', 'admin', '--name', 'laptop');
    assert.equal(made.code, 0, made.said);
    const key = made.said.trim().split('\n').at(-1)!;
    assert.match(key, /^po_[\w-]{43}$/);
    assert.equal(await status(key), 200);
    const list = await tool('keys', 'list');
    assert.match(list.said, /ada.*admin.*laptop.*active/);
    assert.ok(!list.said.includes(key));
    const id = /Key (\S+) for ada/.exec(made.said)?.[1] ?? '';
    assert.equal((await tool('keys', 'revoke', id)).code, 0);
    await until('it is refused', async () => (await status(key)) === 401, 10_000);
    assert.match((await tool('keys', 'list')).said, /revoked 20/);
  });

  const mistakes: [args: string[], said: RegExp][] = [
    [['create'], /required option '--user <user>'/],
    [['create', '--user', ''], /must not be empty/],
    [['create', '--user', '海'.repeat(257)], /must not be longer than 256 characters/],
    [['create', '--user', 'ada', '--role', 'king'], /must be user or admin/],
    [['create', '--user', 'ada', '--expires', 'yesterday'], /must be a time in the future/],
    [['create', '--user', 'ada', '--expires', '2020-01-01T00:00:00Z'], /must be a time in the future/],
    [['revoke', 'nonsense'], /There is no active key nonsense/],
    [['destroy'], /unknown command 'destroy'/],
  ];
  for (const [args, said] of mistakes) {
    test(`says what is wrong with ${JSON.stringify(args.join(' '))}, and exits 1`, async () => {
      const result = await tool('keys', ...args);
      assert.equal(result.code, 1);
      assert.match(result.said, said);
      assert.doesNotMatch(result.said, /\bat .*\.ts:\d+/);
    });
  }
});

describe('every tool', () => {
  test('without a stack or an address says so in one sentence', async () => {
    for (const [name, ...args] of [['keys', 'list'], ['replay', '--dry-run'], ['migrate'], ['watch']]) {
      const running = start(name!, args, { POSTGRES_URI: '' });
      assert.equal(await running.exit, 1, name);
      assert.match(running.said(), /^No stack runs on this data folder: start one with "npm start"/, name);
      assert.equal(running.said().trim().split('\n').length, 1);
    }
  });

  test('to whom nobody answers says so in one sentence', async () => {
    const running = start('keys', ['list'], { POSTGRES_URI: 'postgres://u:hunter2@127.0.0.1:9/x' });
    assert.equal(await running.exit, 1);
    assert.match(running.said(), /ECONNREFUSED/);
    assert.doesNotMatch(running.said(), /hunter2|\bat .*\.ts:\d+/);
  });
});

test('migrate applied twice changes nothing', async () => {
  const { code, said } = await tool('migrate');
  assert.deepEqual([code, said.trim()], [0, 'The schema is up to date.']);
});

describe('replay', () => {
  before(async () => {
    const ada = await stack.client('ada');
    const ids = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ada.ask({ prompt: `replay ${i}`, model: 'gemini-2.5-flash' })),
    );
    for (const { id } of ids) await ada.prompt(id, { wait: 10 });
  });

  test('compares and changes nothing with --dry-run, then switches', async () => {
    const dry = await tool('replay', '--dry-run');
    assert.equal(dry.code, 0, dry.said);
    assert.match(dry.said, /\d+ of \d+ events, \d+\/s, \d+ s left/);
    assert.match(dry.said, /^indexing: \d+ %(, \d+ s left)?$/m);
    assert.match(dry.said, /^comparing: \d+ %(, \d+ s left)?$/m);
    assert.match(dry.said, /equal to version \d+; dropped/);
    const real = await tool('replay');
    assert.equal(real.code, 0, real.said);
    assert.match(real.said, /equal to version \d+, and served now/);
    const root = await stack.client('root', 'admin');
    assert.deepEqual(
      (await root.rebuilds('prompts')).data.map(({ requestedBy, byTool, outcome }) => [requestedBy, byTool, outcome]),
      [
        ['npm run replay', true, 'switched'],
        ['npm run replay', true, 'dropped'],
      ],
    );
    const ada = await stack.client('ada');
    const { id, position } = await ada.ask({ prompt: 'after the switch', model: 'gemini-2.5-flash' });
    assert.equal((await ada.prompt(id, { wait: 10, minPosition: position })).status, 'completed');
    assert.equal((await ada.prompts({ limit: 200, minPosition: position })).data.length, 21);
  });

  test('makes the ledger anew, which says whether all agree', async () => {
    const dry = await tool('replay', '--projection', 'ledger', '--dry-run', '--anew');
    assert.deepEqual(
      [dry.code, /^The ledger at position \d+ is what the log gives\.$/m.test(dry.said)],
      [0, true],
      dry.said,
    );
    assert.doesNotMatch(dry.said, /read models/);
    const { code, said } = await tool('replay', '--projection', 'ledger');
    assert.equal(code, 0, said);
    assert.match(
      said,
      /^The ledger at position \d+ is what the log gives\.\nAll sums of the read models agree with it\.$/m,
    );
  });

  test('says what is wrong, and exits 1', async () => {
    for (const [args, said] of [
      [['--projection', 'ledger', '--until', '3'], /goes with --dry-run, --anew and --archive, and with nothing else/],
      [['--projection', 'ledger', '--what-if', 'gemini-2.5-pro'], /and with nothing else/],
      [['--list', '--dry-run'], /option '--list' cannot be used with option '--dry-run'/],
      [['--serve', '1', '--until', '3'], /option '--serve <version>' cannot be used with option '--until /],
      [['--drop', '1', '--serve', '1'], /option '--serve <version>' cannot be used with option '--drop <version>'/],
      [
        ['--drop', '9', '--what-if', 'gemini-2.5-pro'],
        /option '--drop <version>' cannot be used with option '--what-if /,
      ],
      [['--dry-run', '--accept-differences'], /^--accept-differences is for what may be served/],
      [['--until', '3', '--accept-differences'], /^--accept-differences is for what may be served/],
      [['--projection', 'orders'], /There is no projection "orders"; there are: prompts, ledger/],
      [['--until', 'lunch'], /neither a position nor a time/],
      [['--until', '999999999'], /log ends/],
      [['--prices', 'x.json'], /price file x\.json is not valid/],
    ] as const) {
      const result = await tool('replay', ...args);
      assert.equal(result.code, 1, result.said);
      assert.match(result.said, said);
    }
  });
});

describe('watch', () => {
  test('prints a line for each event, with nothing that a terminal would obey, and ends on Ctrl-C', async () => {
    const key = await stack.key('eve');
    const watching = start('watch', ['--url', stack.address, '--key', key]);
    await until('it is connected', () => watching.said().includes('feed live'));
    const eve = await stack.client('eve');
    const { id } = await eve.ask({
      prompt: '\u001b[2J\u009b31m [[emulate {"text":"\\u001b[2Jdone\\u009b31m"}]]',
      model: 'gemini-2.5-flash',
    });
    await until('its end is shown', () => /PromptCompleted .*done/.test(watching.said()));
    assert.match(watching.said(), new RegExp(`PromptSubmitted +${id}  eve  gemini-2.5-flash`));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    assert.doesNotMatch(watching.said(), /[\u001b\u007f-\u009f]/);
    assert.equal(await watching.end('SIGINT'), 0);
  });

  test('with a wrong key or position says so', async () => {
    const wrong = start('watch', ['--url', stack.address, '--key', 'po_wrong']);
    assert.equal(await wrong.exit, 1);
    assert.match(wrong.said(), /401 unauthenticated/);
    const nowhere = start('watch', ['--url', stack.address, '--key', 'x', '--after', 'lunch']);
    assert.equal(await nowhere.exit, 1);
    assert.match(nowhere.said(), /must be a position/);
  });
});

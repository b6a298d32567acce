/** The script of doc/how-to/follow-the-live-feed.md follows a prompt, as the page says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanup } from './kit/cleanup.ts';
import { run } from './kit/process.ts';
import { startTestStack } from './kit/stack.ts';
import { until } from './kit/until.ts';
import { pageOf } from './kit/worked-examples.ts';

const t = cleanup(after);

test('the script of the page follows a prompt to its answer', async () => {
  const [, script = ''] = /^```js follow\.mjs\n(.*?)^```$/ms.exec(pageOf('follow-the-live-feed')) ?? [];
  const folder = mkdtempSync(join(tmpdir(), 'orchestrator-live-page-'));
  t.after(async () => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'follow.mjs'), script);
  const stack = await startTestStack(t);
  const key = await stack.key('ada');
  const following = run(t, [join(folder, 'follow.mjs')], { ADDRESS: stack.address, KEY: key }, folder);
  await until('it is greeted', () => /^from position \d+$/m.test(following.said()), 20_000);
  const client = await stack.client('ada');
  const { position } = await client.ask({ prompt: 'why?' });
  await until('it has seen the answer', () => /^\d+ PromptCompleted completed \S/m.test(following.said()), 20_000);
  assert.match(following.said(), new RegExp(`^${position} PromptSubmitted `, 'm'));
});

/** Prompts that have failed, and what became of them, for the tests of the bulk redrive. */
import assert from 'node:assert/strict';
import type pg from 'pg';
import type { Client } from '../../client/client.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import { until } from '../kit/until.ts';

export const REASON = 'the filter of the provider was wrong';
export type Settings = { fault?: string; model?: string; conversationId?: string; expiresAt?: string };

let asked = 0;
/** Fails at its first call and at no later one; the emulator counts calls by the prompt's text. */
export async function fail(client: Client, { fault = 'safety', ...more }: Settings = {}): Promise<Prompt> {
  asked += 1;
  const { id } = await client.ask({ prompt: `${asked} [[emulate {"fault":"${fault}","times":1}]]`, ...more });
  const prompt = await client.prompt(id, { wait: 20 });
  assert.equal(prompt.status, 'failed');
  return prompt;
}
export const failMany = (client: Client, n: number, settings?: Settings) =>
  Promise.all(Array.from({ length: n }, () => fail(client, settings)));
export const statusOf = async (client: Client, { id }: { id: string }) =>
  (await client.prompt(id, { wait: 20 })).status;
/** The answer of a bulk redrive has no position to read at: the read model may still have it as failed. */
export const completed = (client: Client, prompt: { id: string }) =>
  until(`${prompt.id} is sent again and completed`, async () => (await statusOf(client, prompt)) === 'completed');
/** How often each of a user's prompts was sent again; those that never were are left out. */
export const requeuesOf = async (pool: pg.Pool, userId: string) => {
  const { rows } = await pool.query<{ stream_id: string; n: number }>(
    `SELECT stream_id, count(*)::integer AS n FROM event
      WHERE type = 'PromptRequeued' AND data ->> 'userId' = $1 GROUP BY stream_id`,
    [userId],
  );
  return rows.map(({ n }) => n);
};

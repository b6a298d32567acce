/** When nothing is under way any more, what was counted is what Postgres has. */
import { until } from '../kit/until.ts';
import { reaches, type Scene } from './scene.ts';

type Sums = Map<string, number>;

const COST = `SELECT concat_ws(' ', model, state, emulated::text) AS of, sum(coalesce(nano_usd, bound_nano_usd))::text AS sum
  FROM ledger_entry WHERE state IN ('confirmed', 'wasted', 'unknown') GROUP BY model, state, emulated`;
const SPENT = `SELECT coalesce(sum(coalesce(nano_usd, bound_nano_usd)), 0)::text AS sum
  FROM ledger_entry e WHERE state IN ('confirmed', 'wasted', 'unknown') AND NOT emulated
   AND NOT (state = 'unknown' AND EXISTS (SELECT FROM ledger_entry o WHERE o.prompt_id = e.prompt_id AND o.emulated))`;
const tokens = (version: number) => `SELECT concat_ws(' ', model, type) AS of, sum(n)::text AS sum
  FROM model_usage_v${version}, LATERAL (VALUES ('input', input_tokens), ('cached_input', cached_input_tokens),
    ('output', output_tokens), ('thought', thought_tokens)) AS t (type, n)
 WHERE level = 5 GROUP BY model, type`;

const present = (sums: [string, number][]): Sums => new Map(sums.filter(([, sum]) => sum !== 0).sort());
const told = (sums: Sums): string => JSON.stringify([...sums]);

export async function checkAtRest(scene: Scene): Promise<void> {
  const { prometheus, expect, system } = scene;
  const read = async (statement: string): Promise<Sums> => {
    const { rows } = await system.database.query<{ of: string; sum: string }>(statement);
    return present(rows.map(({ of, sum }) => [of, Number(sum)]));
  };
  const counted = async (expression: string, labels: string[]): Promise<Sums> =>
    present(
      (await prometheus.vector(expression)).map(({ metric, value }) => [
        labels.map((label) => metric[label]).join(' '),
        value,
      ]),
    );

  async function equal(what: string, statement: string, metric: string, labels: string[]): Promise<void> {
    let sides: [Sums, Sums] = [new Map(), new Map()];
    const same = await until(
      what,
      async () => {
        sides = [await read(statement), await counted(`sum by (${labels.join(', ')}) (${metric})`, labels)];
        return sides[0].size > 0 && told(sides[0]) === told(sides[1]);
      },
      15_000,
    ).catch(() => false);
    expect(what, same, same ? `${sides[0].size} sums` : `${told(sides[0])} is counted as ${told(sides[1])}`);
  }

  await equal('cost was counted as the ledger has it', COST, 'cost_nano_usd_total', ['model', 'account', 'emulated']);
  const { rows } = await system.database.query<{ version: number }>(
    "SELECT version FROM live_projection WHERE name = 'prompts'",
  );
  await equal('tokens were counted as the read models have them', tokens(rows[0]!.version), 'tokens_total', [
    'model',
    'type',
  ]);
  const spent = Number((await system.database.query<{ sum: string }>(SPENT)).rows[0]!.sum);
  const isSpent = (usd: number) => spent > 0 && Math.abs(usd * 1e9 - spent) < 0.5;
  // Where it took a second, it is read again twenty seconds later.
  const what = `what real answers cost is spent, ${spent / 1e9}`;
  await reaches(scene, what, 'prompt:spend_usd:day', isSpent, 90_000);
  const emulated = 'sum(ledger_day_nano_usd{account="confirmed", emulated="true"})';
  await reaches(scene, 'what emulated ones would have cost stands apart', emulated, (value) => value > 0);
}

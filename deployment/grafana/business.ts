/** Who asks what of which model, and what it costs: sums of the read models, and what the last minutes bring. */
import type { Dashboard } from './dashboard.ts';
import { bargauge, bars, promql, series, sql, sqlSeries, stat, table } from './panel.ts';
import { ours, rate } from './promql.ts';

/** The choice above for metrics, as sums of the read models are asked by it: `false`, `true` or both. */
const SHOWN = 'emulated=~"$shown"';
const RANGE = `$__timeFrom()::timestamptz, $__timeTo()::timestamptz, \${emulated:sqlstring}`;
const totals = (column: string) => sql(`SELECT ${column} FROM dashboard.totals_v1(${RANGE})`);
const overTime = (value: string) =>
  sqlSeries(`SELECT "time", model AS metric, ${value} AS value FROM dashboard.usage_v1(${RANGE}) ORDER BY 1`);
const nanoUsd = (account: string) =>
  `${rate(`cost_nano_usd_total{account="${account}", ${SHOWN}}`, 'model')} * 3600 / 1e9`;

export const business: Dashboard = {
  uid: 'prompt-business',
  title: 'Business',
  about:
    'Prompts, users, models, tokens and cost by time of submission. Emulated prompts are left out by default once a real key has been used.',
  from: 'now-24h',
  refresh: '1m',
  variables: [
    { kind: 'custom', name: 'emulated', label: 'Emulated prompts', values: ['default', 'include', 'only'] },
    {
      kind: 'sql',
      name: 'shown',
      query: `SELECT array_to_string(dashboard.shown_v1(\${emulated:sqlstring})::text[], '|')`,
    },
  ],
  rows: [
    {
      title: 'In the range',
      panels: [
        stat('Prompts', 'Submitted.', [totals('prompts')]),
        stat('Users', 'Who submitted them, each counted once.', [totals('users')]),
        stat(
          'Completed',
          'Share of those that have ended.',
          [totals('completed::float8 / nullif(completed + failed, 0) AS completed')],
          { unit: 'percentunit', decimals: 1 },
        ),
        stat('Cost', 'Of the answers.', [totals('confirmed_usd')], { unit: 'currencyUSD', decimals: 4 }),
        stat('Wasted', 'Cost of attempts whose answer was not used.', [totals('wasted_usd')], {
          unit: 'currencyUSD',
          decimals: 4,
        }),
        stat(
          'Unknown',
          'The most that attempts can have cost of which the provider told nothing.',
          [totals('unknown_bound_usd')],
          {
            unit: 'currencyUSD',
            decimals: 4,
          },
        ),
      ],
    },
    {
      title: 'Users',
      panels: [
        table(
          'Users by cost',
          'The fifty who spent most.',
          [
            sql(
              `SELECT user_id AS "User", prompts AS "Prompts", completed AS "Completed", failed AS "Failed", confirmed_usd AS "Cost", wasted_usd AS "Wasted", unknown_bound_usd AS "Unknown", input_tokens AS "Input tokens", output_tokens AS "Output tokens", thought_tokens AS "Thought tokens" FROM dashboard.users_v1(${RANGE}, 50)`,
            ),
          ],
          { width: 16, height: 12, columns: { Cost: 'currencyUSD', Wasted: 'currencyUSD', Unknown: 'currencyUSD' } },
        ),
        bargauge(
          'Prompts by user',
          'Of the ten who spent most.',
          [sql(`SELECT user_id, prompts FROM dashboard.users_v1(${RANGE}, 10)`)],
          { width: 8, height: 12 },
        ),
      ],
    },
    {
      title: 'Models',
      panels: [
        table(
          'Popularity of models',
          'Share of all prompts, and how many users asked each.',
          [
            sql(
              `SELECT model AS "Model", share AS "Share", prompts AS "Prompts", users AS "Users", completed AS "Completed", failed AS "Failed", confirmed_usd AS "Cost", confirmed_usd / nullif(completed, 0) AS "Cost of an answer", input_tokens AS "Input tokens", cached_input_tokens AS "Cached", output_tokens AS "Output tokens", thought_tokens AS "Thought tokens" FROM dashboard.models_v1(${RANGE})`,
            ),
          ],
          {
            width: 16,
            columns: { Share: 'percentunit', Cost: 'currencyUSD', 'Cost of an answer': 'currencyUSD' },
          },
        ),
        bargauge(
          'Users by model',
          'Who asked it at least once.',
          [sql(`SELECT model, users FROM dashboard.models_v1(${RANGE})`)],
          { width: 8 },
        ),
      ],
    },
    {
      title: 'Over time',
      panels: [
        bars('Prompts over time', 'Submitted by hour, by day in a range of more than eight.', [overTime('prompts')]),
        bars(
          'Cost over time',
          'Of the answers, by hour of submission, by day in a range of more than eight.',
          [overTime('confirmed_usd')],
          {
            unit: 'currencyUSD',
          },
        ),
        bars('Tokens over time', 'Input, output and thoughts, by hour or day as above.', [
          overTime('input_tokens + output_tokens + thought_tokens'),
        ]),
        bars('Failed over time', 'Prompts that have failed, by hour or day of their submission.', [overTime('failed')]),
      ],
    },
    {
      title: 'Time to answer',
      panels: [
        table(
          'Time to answer in the range',
          'Of answered prompts: until the first attempt, of the answering call, and in all.',
          [
            sql(
              `SELECT measure AS "Measure", samples AS "Prompts", p50 AS "p50", p95 AS "p95", p99 AS "p99" FROM dashboard.latency_v1(${RANGE})`,
            ),
          ],
          { width: 24, height: 5, columns: { p50: 's', p95: 's', p99: 's' } },
        ),
      ],
    },
    {
      title: 'Right now',
      panels: [
        series(
          'Cost of an hour',
          'At the rate of the last minutes, of the answers that come in.',
          [promql(nanoUsd('confirmed'), '{{model}}')],
          {
            unit: 'currencyUSD',
            width: 8,
          },
        ),
        series(
          'Wasted of an hour',
          'The same of attempts whose answer was not used.',
          [promql(nanoUsd('wasted'), '{{model}}')],
          {
            unit: 'currencyUSD',
            width: 8,
          },
        ),
        series(
          'Tokens by type',
          'Each second. Input tokens include cached ones.',
          [promql(rate(`tokens_total{${SHOWN}}`, 'type'), '{{type}}')],
          { width: 8, unit: 'cps' },
        ),
        series(
          'Tokens by model',
          'Each second, output and thoughts.',
          [promql(rate(`tokens_total{type=~"output|thought", ${SHOWN}}`, 'model'), '{{model}}')],
          { width: 8, unit: 'cps' },
        ),
        series(
          'Spent in 24 hours',
          'By attempts that started in them: confirmed, wasted and unknown, beside the budget that alerts go by. Emulated ones never count.',
          [promql(ours('prompt:spend_usd:day'), 'spent'), promql('prompt:budget_usd:day', 'budget')],
          { width: 8, unit: 'currencyUSD' },
        ),
        series(
          'Ledger',
          'All that was ever spent, reserved for what runs, and at most so much that is unknown; of emulated prompts too.',
          [promql(`max by (account) (${ours('ledger_nano_usd')}) / 1e9`, '{{account}}')],
          { width: 8, unit: 'currencyUSD' },
        ),
      ],
    },
  ],
};

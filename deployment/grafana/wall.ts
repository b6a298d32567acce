/** Few numbers, readable from across a room: opened with `?kiosk` it shows nothing else. */
import type { Dashboard } from './dashboard.ts';
import { type Panel, promql, series, sql, stat, table } from './panel.ts';
import { ours, quantile, rate, ratio } from './promql.ts';

const big = (of: Panel): Panel => ({ ...of, width: 6, height: 6 });
const wide = (of: Panel): Panel => ({ ...of, width: 12, height: 9 });
const FIRING = ours('ALERTS{alertstate="firing"}');
const REQUESTS = 'http_server_request_duration_seconds';

export const wall: Dashboard = {
  uid: 'prompt-wall',
  title: 'Wall',
  about: 'The state of the system at a glance. Green is as it should be.',
  from: 'now-3h',
  refresh: '10s',
  variables: [],
  rows: [
    {
      title: 'Alerts',
      panels: [
        big(
          stat(
            'Alerts that fire',
            'Anything but 0: look at their sections in doc/how-to/answer-alerts.md. No data: Prometheus does not evaluate our rules.',
            [promql(`count(${FIRING}) or 0 * sum(prompt:budget_usd:day)`)],
            {
              steps: [
                [null, 'green'],
                [1, 'red'],
              ],
            },
          ),
        ),
        table(
          'Which they are',
          'By severity and name, with how many of each. Empty is good.',
          [promql(`count by (severity, alertname) (${FIRING})`)],
          { width: 18, height: 6 },
        ),
      ],
    },
    {
      title: 'Prompts',
      panels: [
        big(
          stat('Ended each second', 'Prompts that reached a terminal state.', [promql(rate('prompts_ended_total'))], {
            unit: 'cps',
          }),
        ),
        big(
          stat(
            'Oldest waiting',
            'Since it was due.',
            [promql(`max(${ours('outbox_oldest_seconds{state="waiting"}')})`)],
            {
              unit: 's',
              steps: [
                [null, 'green'],
                [60, 'yellow'],
                [300, 'red'],
              ],
            },
          ),
        ),
        big(
          stat('Workers', 'That reported in the last ten seconds.', [promql(`max(${ours('workers_live')})`)], {
            steps: [
              [null, 'red'],
              [1, 'green'],
            ],
          }),
        ),
        big(
          stat(
            'Failing attempts',
            'Share of provider calls without an answer.',
            [
              promql(
                ratio(rate('attempt_duration_seconds_count{end!="completed"}'), rate('attempt_duration_seconds_count')),
              ),
            ],
            {
              unit: 'percentunit',
              decimals: 1,
              steps: [
                [null, 'green'],
                [0.1, 'yellow'],
                [0.5, 'red'],
              ],
            },
          ),
        ),
        big(
          stat(
            'Errors of the API',
            'Share of answers with a status of 500 and above.',
            [promql(ratio(rate(`${REQUESTS}_count{status=~"5.."}`), rate(`${REQUESTS}_count`)))],
            {
              unit: 'percentunit',
              decimals: 2,
              steps: [
                [null, 'green'],
                [0.005, 'yellow'],
                [0.02, 'red'],
              ],
            },
          ),
        ),
        big(
          stat(
            'Behind the log',
            'Age of the oldest event that is not in the read models.',
            [promql(`max(${ours('projector_lag_seconds')})`)],
            {
              unit: 's',
              steps: [
                [null, 'green'],
                [5, 'yellow'],
                [30, 'red'],
              ],
            },
          ),
        ),
        big(
          stat(
            'Ledger',
            'Sums that differ. Anything but 0 is wrong.',
            [promql(`max(${ours('ledger_sums_differing')})`)],
            {
              steps: [
                [null, 'green'],
                [1, 'red'],
              ],
            },
          ),
        ),
        big(
          stat(
            'Cost in the range',
            'Of the answers.',
            [
              sql(
                `SELECT confirmed_usd FROM dashboard.totals_v1($__timeFrom()::timestamptz, $__timeTo()::timestamptz, 'default')`,
              ),
            ],
            { unit: 'currencyUSD', decimals: 2 },
          ),
        ),
        wide(
          series('Accepted and ended', 'Prompts each second.', [
            promql(rate('prompts_accepted_total'), 'accepted'),
            promql(rate('prompts_ended_total', 'status'), '{{status}}'),
          ]),
        ),
        wide(
          series(
            'Queue wait, p95',
            'From when a prompt was due to its first attempt.',
            [promql(quantile(0.95, 'queue_wait_seconds', '', 'lane'), '{{lane}}')],
            { unit: 's' },
          ),
        ),
      ],
    },
  ],
};

/** A prompt's way from the outbox to the read models. */
import type { Dashboard } from './dashboard.ts';
import { bars, promql, series, stat, table, traced } from './panel.ts';
import { ours, quantile, rate } from './promql.ts';

/** Leader and standby overlap for a moment when they change. */
const led = (metric: string, by: string): string => `max by (${by}) (${ours(metric)})`;

export const pipeline: Dashboard = {
  uid: 'prompt-pipeline',
  title: 'Pipeline',
  about: 'What waits where, how long each stage takes, and what goes wrong in it.',
  from: 'now-1h',
  refresh: '10s',
  variables: [],
  rows: [
    {
      title: 'Now',
      panels: [
        stat('Accepted', 'Prompts each second.', [promql(rate('prompts_accepted_total'))], { unit: 'cps' }),
        stat('Ended', 'Prompts that reached a terminal state, each second.', [promql(rate('prompts_ended_total'))], {
          unit: 'cps',
        }),
        stat('Open', 'Prompts without a terminal state, those scheduled for later left out.', [
          promql(`sum(${led('outbox_prompts{state!="scheduled"}', 'lane, state')})`),
        ]),
        stat(
          'Oldest waiting',
          'Since it was due; prompts of parked models and those scheduled for later do not count.',
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
        stat('Workers', 'That reported in the last ten seconds.', [promql(`max(${ours('workers_live')})`)], {
          steps: [
            [null, 'red'],
            [1, 'green'],
          ],
        }),
        stat(
          'Slots in use',
          'Of all workers. Near 100 % more workers bring more.',
          [promql(`max(${ours('workers_running')}) / (max(${ours('workers_slots')}) > 0 or vector(1))`)],
          { unit: 'percentunit', max: 1 },
        ),
      ],
    },
    {
      title: 'Outbox and relay',
      panels: [
        series('Accepted and ended', 'Prompts each second: apart for long, the backlog grows or shrinks.', [
          promql(rate('prompts_accepted_total'), 'accepted'),
          promql(rate('prompts_ended_total', 'status'), '{{status}}'),
        ]),
        series(
          'Open prompts by state',
          'waiting: due, for the relay. parked: of a model nobody is sent to now. scheduled: not due yet. dispatched: on the stream. running: claimed.',
          [promql(`sum by (state) (${led('outbox_prompts', 'lane, state')})`, '{{state}}')],
          { stacked: true },
        ),
        series(
          'Waiting by lane',
          'Lower lanes are slow while upper ones have work, and never starved.',
          [promql(`sum by (lane) (${led('outbox_prompts{state=~"waiting|dispatched"}', 'lane, state')})`, '{{lane}}')],
          { width: 8 },
        ),
        series(
          'Oldest by lane and state',
          'waiting since it was due, dispatched and running since they were dispatched.',
          [
            promql(
              led('outbox_oldest_seconds{state=~"waiting|dispatched|running"}', 'lane, state'),
              '{{lane}} {{state}}',
            ),
          ],
          { unit: 's', width: 8 },
        ),
        series(
          'Published',
          'Task entries each second by the leading relay; resyncs give every waiting entry a new number.',
          [
            promql(rate('relay_published_total'), 'published'),
            promql(rate('relay_resyncs_total'), 'resyncs'),
            promql(`sum(${ours('relay_leads')})`, 'leaders'),
          ],
          { width: 8 },
        ),
      ],
    },
    {
      title: 'Streams',
      panels: [
        series('Lag', 'Entries that no consumer was given yet.', [
          promql(led('redis_stream_lag', 'stream, group'), '{{stream}} {{group}}'),
        ]),
        series('Pending', 'Given and not acknowledged: what workers have in hand.', [
          promql(led('redis_stream_pending', 'stream, group'), '{{stream}} {{group}}'),
        ]),
      ],
    },
    {
      title: 'Workers and provider',
      panels: [
        series(
          'Queue wait',
          'From when a prompt was due to its first attempt. Dots are traces.',
          [
            traced(quantile(0.5, 'queue_wait_seconds', '', 'lane'), 'p50 {{lane}}'),
            traced(quantile(0.95, 'queue_wait_seconds', '', 'lane'), 'p95 {{lane}}'),
          ],
          { unit: 's', width: 8 },
        ),
        series(
          'Provider calls',
          'From the request to the end of the answer. Dots are traces.',
          [
            traced(quantile(0.5, 'attempt_duration_seconds', 'end="completed"', 'model'), 'p50 {{model}}'),
            traced(quantile(0.95, 'attempt_duration_seconds', 'end="completed"', 'model'), 'p95 {{model}}'),
          ],
          { unit: 's', width: 8 },
        ),
        series(
          'Time to first token',
          'From a call’s start to the first text of its answer. Dots are traces.',
          [
            traced(quantile(0.5, 'attempt_first_token_seconds', '', 'model'), 'p50 {{model}}'),
            traced(quantile(0.95, 'attempt_first_token_seconds', '', 'model'), 'p95 {{model}}'),
          ],
          { unit: 's', width: 8 },
        ),
        series(
          'Attempts by how they ended',
          'Each second. completed is an answer, retry a passing refusal, parked a refusal of the whole model.',
          [promql(rate('attempt_duration_seconds_count', 'end'), '{{end}}')],
          { width: 8, stacked: true, unit: 'cps' },
        ),
        bars(
          'Failures by code',
          'Attempts without an answer in five minutes; doc/reference/errors.md has the codes.',
          [promql(`sum by (code) (increase(${ours('attempt_failures_total')}[5m])) > 0`, '{{code}}')],
          { width: 8 },
        ),
        series(
          'Retries by model',
          'Attempts after which another one is due, each second.',
          [promql(rate('attempt_retries_total', 'model'), '{{model}}')],
          { width: 8, unit: 'cps' },
        ),
        series(
          'Slots',
          'Prompts that workers take at once, and calls in flight.',
          [promql(`max(${ours('workers_slots')})`, 'slots'), promql(`max(${ours('workers_running')})`, 'running')],
          { width: 8 },
        ),
        table(
          'Models parked now',
          'Nobody is sent to them for so long. breaker: the provider answers nobody. daily_quota, bad_key, billing: it refuses. Empty is good.',
          [promql(`max by (model, reason) (${ours('model_parked_seconds')})`)],
          { width: 8, columns: { Value: 's' } },
        ),
        series(
          'Recovered',
          'In five minutes: attempts whose worker fell silent, and prompts whose entry Redis lost.',
          [
            promql(`sum(increase(${ours('sweeper_lost_attempts_total')}[5m]))`, 'lost attempts'),
            promql(`sum(increase(${ours('sweeper_dispatched_again_total')}[5m]))`, 'dispatched again'),
            promql(`sum(increase(${ours('sweeper_unreadable_prompts_total')}[5m]))`, 'left to a newer release'),
          ],
          { width: 8 },
        ),
      ],
    },
    {
      title: 'Read models and ledger',
      panels: [
        series('Behind the log', 'Events not folded yet, and the age of the oldest.', [
          promql(`max(${ours('projector_lag_events')})`, 'events'),
          promql(`max(${ours('projector_lag_seconds')})`, 'seconds'),
        ]),
        series('Folded', 'Events each second, into every version that is kept.', [
          promql(rate('projector_events_total'), 'events'),
        ]),
        stat(
          'Sums that differ',
          'Of the read models from the ledger. Anything but 0 is wrong.',
          [promql(`max(${ours('ledger_sums_differing')})`)],
          {
            width: 6,
            steps: [
              [null, 'green'],
              [1, 'red'],
            ],
          },
        ),
        stat(
          'Since the last audit',
          'Both are compared every ten seconds.',
          [promql(`time() - max(${ours('ledger_audited_timestamp_seconds')})`)],
          {
            width: 6,
            unit: 's',
            steps: [
              [null, 'green'],
              [120, 'red'],
            ],
          },
        ),
        stat(
          'Streams set aside',
          'Because of an event that could not be folded: npm run parked -- list.',
          [promql(`max(${ours('projector_parked_streams')})`)],
          {
            width: 6,
            steps: [
              [null, 'green'],
              [1, 'red'],
            ],
          },
        ),
        stat(
          'Rebuild',
          'How far the phase of a running one is; the last one’s end otherwise, whoever did it.',
          [
            promql(
              `max by (phase) (${ours('rebuild_progress_ratio')}) or max by (outcome) (${ours('rebuild_last_outcome')}) == 1`,
              '{{phase}}{{outcome}}',
            ),
          ],
          { width: 6, unit: 'percentunit' },
        ),
      ],
    },
  ],
};

/** Requests, processes and connections of each service. */
import type { Dashboard } from './dashboard.ts';
import { promql, series, stat, traced } from './panel.ts';
import { ours, quantile, rate, ratio } from './promql.ts';

const REQUESTS = 'http_server_request_duration_seconds';
const S = 'service=~"$service"';
const at = (metric: string, more = ''): string => ours(`${metric}{${S}${more && `, ${more}`}}`);
/** The gateway's two ways. */
const BACKENDS = 'proxy=~"command-api|query-api"';

export const service: Dashboard = {
  uid: 'prompt-service',
  title: 'Service',
  about: 'How each service answers, and what it needs for that.',
  from: 'now-1h',
  refresh: '10s',
  variables: [
    {
      kind: 'labels',
      name: 'service',
      label: 'Service',
      query: `label_values(${ours('process_start_time_seconds')}, service)`,
    },
  ],
  rows: [
    {
      title: 'Requests',
      panels: [
        stat('Requests', 'Answered each second.', [promql(rate(`${REQUESTS}_count{${S}}`))], { unit: 'reqps' }),
        stat(
          'Errors',
          'Share of answers with a status of 500 and above. 503 is among them: it could not be accepted durably.',
          [promql(ratio(rate(`${REQUESTS}_count{${S}, status=~"5.."}`), rate(`${REQUESTS}_count{${S}}`)))],
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
        stat(
          'Ask, p99',
          'Of POST /ask: 99 of 100 are answered sooner.',
          [promql(quantile(0.99, REQUESTS, `${S}, route="/ask"`))],
          {
            unit: 's',
            steps: [
              [null, 'green'],
              [0.25, 'yellow'],
              [1, 'red'],
            ],
          },
        ),
        stat('Sockets', 'Connections on the live feed.', [promql(`sum(${at('live_subscribers')})`)]),
        stat('Processes', 'Processes that are scraped.', [promql(`count(${at('process_start_time_seconds')})`)]),
        stat(
          'Youngest process',
          'Time since the last start: short again and again, something crashes.',
          [promql(`min(time() - ${at('process_start_time_seconds')})`)],
          { unit: 's' },
        ),
        series(
          'Requests by route',
          'A read with `wait` is held until the prompt has ended, and counts when it is answered.',
          [promql(rate(`${REQUESTS}_count{${S}}`, 'method, route'), '{{method}} {{route}}')],
          { unit: 'reqps' },
        ),
        series(
          'Refusals and errors',
          'Answers of 400 and above by route and status. Empty is good.',
          [promql(`${rate(`${REQUESTS}_count{${S}, status=~"[45].."}`, 'route, status')} > 0`, '{{status}} {{route}}')],
          { unit: 'reqps' },
        ),
        series(
          'Duration of asks',
          'Dots are traces: a click leads to one.',
          [
            traced(quantile(0.5, REQUESTS, `${S}, route="/ask"`), 'p50'),
            traced(quantile(0.95, REQUESTS, `${S}, route="/ask"`), 'p95'),
            traced(quantile(0.99, REQUESTS, `${S}, route="/ask"`), 'p99'),
          ],
          { unit: 's' },
        ),
        series(
          'Duration by route, p95',
          'Dots are traces: a click leads to one. Reads with `wait` take as long as they are told to.',
          [traced(quantile(0.95, REQUESTS, S, 'route'), '{{route}}')],
          { unit: 's' },
        ),
      ],
    },
    {
      title: 'Gateway and traces',
      panels: [
        series(
          'Answers of the gateway',
          'Of 500 and above, each second. own: 502, 503 and 504 that no service gave; its log has the path of each.',
          [
            promql(rate(`haproxy_server_http_responses_total{${BACKENDS}, code="5xx"}`, 'proxy'), 'of {{proxy}}'),
            promql(
              `clamp_min(${rate(`haproxy_backend_http_responses_total{${BACKENDS}, code="5xx"}`, 'proxy')} - ${rate(`haproxy_server_http_responses_total{${BACKENDS}, code="5xx"}`, 'proxy')}, 0)`,
              'own, for {{proxy}}',
            ),
          ],
          { unit: 'reqps', width: 8 },
        ),
        series(
          'Services behind the gateway',
          'Replicas that it sends requests to. 0: it answers 503.',
          [promql(`sum by (proxy) (${ours(`haproxy_backend_active_servers{${BACKENDS}}`)})`, '{{proxy}}')],
          { width: 8 },
        ),
        series(
          'Spans that got lost',
          'Each second, by trace store: those that it did not take, and those that did not fit in the collector’s queue.',
          [
            promql(ours('exporter:spans_not_sent:rate5m'), 'not taken: {{exporter}}'),
            promql(ours('exporter:spans_not_queued:rate5m'), 'no room: {{exporter}}'),
          ],
          { unit: 'cps', width: 8 },
        ),
      ],
    },
    {
      title: 'Appends',
      panels: [
        series(
          'Duration of append calls',
          'One call writes a batch of events under the log’s lock, and waits for the disk.',
          [
            promql(quantile(0.5, 'append_call_duration_seconds', S, 'service'), 'p50 {{service}}'),
            promql(quantile(0.99, 'append_call_duration_seconds', S, 'service'), 'p99 {{service}}'),
          ],
          { unit: 's', width: 8 },
        ),
        series(
          'Appends in a call',
          'Batches grow by themselves under load: what arrives during a call goes into the next.',
          [
            promql(quantile(0.5, 'append_call_appends', S, 'service'), 'p50 {{service}}'),
            promql(quantile(0.99, 'append_call_appends', S, 'service'), 'p99 {{service}}'),
          ],
          { width: 8 },
        ),
        series(
          'Appends waiting',
          'For a call. At APPEND_QUEUE_LIMIT new ones are refused with 503.',
          [promql(`sum by (service) (${at('append_queue')})`, '{{service}}')],
          { width: 8 },
        ),
      ],
    },
    {
      title: 'Processes',
      panels: [
        series(
          'CPU',
          'Cores in use. One Node process uses one for JavaScript.',
          [promql(`sum by (service) (rate(${at('process_cpu_seconds_total')}[$__rate_interval]))`, '{{service}}')],
          { width: 8 },
        ),
        series(
          'Memory',
          'Resident set of each service’s largest process.',
          [promql(`max by (service) (${at('process_resident_memory_bytes')})`, '{{service}}')],
          { unit: 'bytes', width: 8 },
        ),
        series(
          'Heap',
          'Used by JavaScript objects, of each service’s largest process.',
          [promql(`max by (service) (${at('nodejs_heap_size_used_bytes')})`, '{{service}}')],
          { unit: 'bytes', width: 8 },
        ),
        series(
          'Event loop, p99',
          'How late timers are: above 0.1 s a process is busier than it can be.',
          [promql(`max by (service) (${at('nodejs_eventloop_lag_p99_seconds')})`, '{{service}}')],
          { unit: 's', width: 8 },
        ),
        series(
          'Event loop in use',
          'Share of time that the event loop was not idle.',
          [promql(`max by (service) (${at('nodejs_eventloop_utilization_ratio')})`, '{{service}}')],
          { unit: 'percentunit', width: 8, max: 1 },
        ),
        series(
          'Garbage collection',
          'Seconds of each second spent in it.',
          [promql(rate(`nodejs_gc_duration_seconds_sum{${S}}`, 'service'), '{{service}}')],
          { unit: 'percentunit', width: 8 },
        ),
      ],
    },
    {
      title: 'Connections',
      panels: [
        series(
          'Postgres pools in use',
          'Share of the connections that a pool may open.',
          [
            promql(
              `max by (service, pool) (sum by (service, instance, pool) (${at('db_client_connection_count', 'state="used"')}) / sum by (service, instance, pool) (${at('db_client_connection_max')}))`,
              '{{service}} {{pool}}',
            ),
          ],
          { unit: 'percentunit', width: 8, max: 1 },
        ),
        series(
          'Waiting for a connection',
          'Above 0 for long, queries are slow or the pool is too small.',
          [promql(`sum by (service, pool) (${at('db_client_connection_pending_requests')})`, '{{service}} {{pool}}')],
          { width: 8 },
        ),
        series(
          'Redis connections that are ready',
          'Of each service. Redis only delivers: without it prompts are taken, and worked on later.',
          [promql(`sum by (service) (${at('redis_connection_ready')})`, '{{service}}')],
          { width: 8 },
        ),
        series(
          'Live feed: waiting in sockets',
          'Bytes written and not taken yet. A slow socket is stalled at 1 MB, and read to later.',
          [
            promql(`sum(${at('live_backlog_bytes')})`, 'all'),
            promql(`max(${at('live_backlog_most_bytes')})`, 'slowest'),
          ],
          { unit: 'bytes', width: 8 },
        ),
        series(
          'Live feed: subscribers',
          'Connected, and of these stalled.',
          [
            promql(`sum(${at('live_subscribers')})`, 'connected'),
            promql(`sum(${at('live_stalled_subscribers')})`, 'stalled'),
          ],
          { width: 8 },
        ),
        series(
          'Live feed: told to read anew',
          'Subscribers that were too far behind.',
          [promql(rate(`live_resyncs_total{${S}}`), 'resyncs')],
          { unit: 'cps', width: 8 },
        ),
      ],
    },
  ],
};

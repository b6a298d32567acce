/** Traces by what is asked of them: slow, failed, of one prompt; and the log lines that belong to one. */
import type { Dashboard } from './dashboard.ts';
import { table as anyTable, type Query, text, trace, traceql } from './panel.ts';

const UID = 'prompt-traces';
const LOGS = `Log lines carry the trace's id as \`traceId\`. Of the trace above:

    docker compose -f deployment/docker/docker-compose.yml logs --no-log-prefix | grep '"traceId":"\${traceId}"'
    kubectl logs -l app.kubernetes.io/name=prompt-orchestrator --prefix --tail=-1 | grep '"traceId":"\${traceId}"'
    grep '"traceId":"\${traceId}"' .data/services.log`;

/** Grafana's own link of a trace's id opens it beside; this one fills in the id above, for the trace and its log lines. */
const HERE = {
  title: 'Trace and its log lines',
  url: `/d/${UID}?var-traceId=\${__data.fields.traceID}&\${__url_time_range}`,
};
const table = (title: string, about: string, queries: Query[], options = {}) =>
  anyTable(title, about, queries, { ...options, links: [HERE] });

export const traces: Dashboard = {
  uid: UID,
  title: 'Traces',
  about:
    'From a number to the request behind it: a click on a row, or on a dot of a latency panel, leads to the trace and its log lines below; its spans name the prompt.',
  from: 'now-1h',
  refresh: '30s',
  variables: [
    { kind: 'textbox', name: 'traceId', label: 'Trace id' },
    { kind: 'textbox', name: 'promptId', label: 'Prompt id' },
  ],
  rows: [
    {
      title: 'Find',
      panels: [
        table('Slow asks', 'POST /ask that took longer than 100 ms until its 202.', [
          traceql('{ name = "POST /ask" && duration > 100ms }'),
        ]),
        table('Errors', 'Traces with a span that failed.', [traceql('{ status = error }')]),
        table('Slow provider calls', 'Longer than ten seconds.', [
          traceql(
            '{ span.gen_ai.request.model != nil && duration > 10s } | select(span.gen_ai.request.model, span.prompt.id)',
          ),
        ]),
        table('Long traces', 'From the request to the push on the socket, retries and waiting included.', [
          traceql('{ traceDuration > 30s && rootName = "POST /ask" }'),
        ]),
        table('Of a prompt', 'By the prompt’s id, entered above.', [traceql('{ span.prompt.id = "$promptId" }')], {
          width: 24,
          height: 6,
        }),
      ],
    },
    {
      title: 'One trace',
      panels: [
        trace('Trace', 'By the trace’s id above: entered, or filled in by a click.', [traceql('$traceId')]),
        text('Its log lines', LOGS, { height: 6 }),
      ],
    },
  ],
};

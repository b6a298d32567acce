/** An appender whose appends have spans in the traces of those who wait for them: a call is many traces' at once. */
import type { Span } from '@opentelemetry/api';
import { own } from '../telemetry/conventions.ts';
import { selectOf } from '../telemetry/shapes.ts';
import { inSpan, isTraced } from '../telemetry/spans.ts';
import { APPEND_FUNCTION, type Append, type AppendResult } from './append.ts';
import type { Appender } from './appender.ts';

/** The span begins when the append is queued and ends with its answer. */
export function traceAppends(appender: Appender): Appender {
  const traced = (append: Append, send: () => Promise<AppendResult>) =>
    inSpan(
      () => selectOf({ function: APPEND_FUNCTION }, { [own.promptId]: append.streamId }),
      async (span) => answered(span, append, await send()),
    );
  return {
    append: (one) => (isTraced() ? traced(one, () => appender.append(one)) : appender.append(one)),
    appendWithin: (one, ms) =>
      isTraced() ? traced(one, () => appender.appendWithin(one, ms)) : appender.appendWithin(one, ms),
    get waiting() {
      return appender.waiting;
    },
    stop: appender.stop,
  };
}

function answered(span: Span, { events }: Append, result: AppendResult): AppendResult {
  span.setAttributes({
    [own.promptEvents]: events.map(({ type }) => type),
    // No fault of the call: whoever decided learns that things have changed.
    [own.promptOutcome]: result.status === 'conflict' ? `conflict_${result.reason}` : result.status,
    ...(result.status !== 'conflict' && { [own.promptPosition]: result.position }),
  });
  return result;
}

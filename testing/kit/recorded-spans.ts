/** The SDK in this process, whose spans are kept instead of sent. */
import { NodeSDK } from '@opentelemetry/sdk-node';

type Processor = NonNullable<NonNullable<ConstructorParameters<typeof NodeSDK>[0]>['spanProcessors']>[number];
export type RecordedSpan = Parameters<Processor['onEnd']>[0];

/** Once in a process: spans as they end. */
export function recordSpans(): RecordedSpan[] {
  const spans: RecordedSpan[] = [];
  const keep: Processor = {
    onStart: () => {},
    onEnd: (span) => void spans.push(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  new NodeSDK({ spanProcessors: [keep], metricReaders: [], logRecordProcessors: [] }).start();
  return spans;
}

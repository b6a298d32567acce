/** The last step of a prompt's trace: an event goes out to whoever follows it. */
import { SpanKind } from '@opentelemetry/api';
import { own } from '../../platform/telemetry/conventions.ts';
import { beginSpan } from '../../platform/telemetry/spans.ts';
import { isSampled } from '../../platform/telemetry/traceparent.ts';
import type { FeedFrame } from './frame.ts';
import type { Hub } from './hub.ts';

/** What subscribers read again when they catch up is in no trace: that is their way, not the prompt's. */
export function push(hub: Hub, frame: FeedFrame): void {
  if (!isSampled(frame.traceparent)) {
    hub.publish(frame);
    return;
  }
  const span = beginSpan(frame.traceparent, () => ({
    name: `push ${frame.event}`,
    kind: SpanKind.PRODUCER,
    attributes: {
      [own.promptId]: frame.promptId,
      [own.promptEvent]: frame.event,
      [own.promptPosition]: frame.position,
    },
  }));
  span.setAttribute(own.feedListeners, hub.publish(frame));
  span.end();
}
